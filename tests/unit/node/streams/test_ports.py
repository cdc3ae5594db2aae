"""Ports of healthy nodes that refuse one client, or leave it without an answer."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from portway.node.streams.ports import (
    ACCEPTED,
    EVERY,
    FORGET,
    MOST,
    PATIENCE,
    REFUSED,
    UNFOUNDED,
    Place,
    Ports,
)

STEP = PATIENCE / 2
"""Seconds between two turns."""


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watching:
    """Ports that are looked at, and time that passes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ports = Ports(self.clock)

    def let_pass(self, seconds: float) -> None:
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += STEP
            self.ports.turn()


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(opened: ExitStack) -> socket.socket:
    return opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))


def place(server: socket.socket) -> Place:
    host, port = server.getsockname()
    return host, port


def closed() -> Place:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return place(server)


def silent(opened: ExitStack) -> Place:
    """A port whose queue is full: the kernel drops who else comes, without a word."""
    server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        waiting = opened.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(place(server))
    return place(server)


def test_port_that_is_refused_counts_only_after_a_time(watching: Watching) -> None:
    watching.ports.suspect("one", {"app-1": closed()})
    watching.let_pass(REFUSED - STEP)
    assert not watching.ports.refuses("one", "app-1")
    watching.let_pass(4 * STEP)
    assert watching.ports.refuses("one", "app-1")
    assert not watching.ports.accepts("one", "app-1")


def test_port_that_does_not_answer_counts_in_the_same_way(
    watching: Watching, opened: ExitStack
) -> None:
    watching.ports.suspect("one", {"app-1": silent(opened)})
    watching.let_pass(REFUSED - STEP)
    assert not watching.ports.refuses("one", "app-1")
    watching.let_pass(PATIENCE + 4 * STEP)
    assert watching.ports.refuses("one", "app-1")


def test_port_that_opens_again_counts_after_a_time(
    watching: Watching, opened: ExitStack
) -> None:
    where = closed()
    watching.ports.suspect("one", {"app-1": where})
    watching.let_pass(REFUSED + 4 * STEP)
    assert watching.ports.refuses("one", "app-1")
    opened.enter_context(socket.create_server(where, backlog=128))
    watching.ports.suspect("one", {"app-1": where})  # it is apart still
    watching.let_pass(ACCEPTED - STEP)
    assert watching.ports.refuses("one", "app-1")
    watching.let_pass(2 * EVERY + 2 * STEP)
    assert watching.ports.accepts("one", "app-1")


def test_port_is_refused_until_it_is_seen_if_it_was_before(
    watching: Watching, opened: ExitStack
) -> None:
    """As for a program that was started while a client was apart."""
    places = {"app-1": place(listening(opened)), "app-2": place(listening(opened))}
    watching.ports.suspect("one", places, refused=("app-1",))
    watching.let_pass(STEP)
    assert watching.ports.refuses("one", "app-1")
    assert watching.ports.accepts("one", "app-2")


def test_server_that_came_or_moved_is_looked_at_without_a_new_suspicion(
    watching: Watching, opened: ExitStack
) -> None:
    watching.ports.suspect("one", {"app-1": closed()})
    watching.let_pass(REFUSED + 4 * STEP)
    places = {"app-1": place(listening(opened)), "app-2": place(listening(opened))}
    watching.ports.place("one", places)
    watching.let_pass(STEP)
    assert watching.ports.accepts("one", "app-1")
    assert watching.ports.accepts("one", "app-2")
    watching.let_pass(UNFOUNDED)
    assert not watching.ports.clients(), "that it moved is no trouble"


@pytest.mark.parametrize("refuses", [False, True])
def test_client_without_trouble_is_looked_at_no_longer(
    watching: Watching, opened: ExitStack, refuses: bool
) -> None:
    where = closed() if refuses else place(listening(opened))
    watching.ports.suspect("one", {"app-1": where})
    watching.let_pass(UNFOUNDED + 2 * STEP)
    assert set(watching.ports.clients()) == ({"one"} if refuses else set())
    if refuses:
        watching.clock.now += FORGET
        watching.let_pass(2 * STEP)
        assert not watching.ports.clients()


def test_no_more_than_so_many_clients_are_looked_at(watching: Watching) -> None:
    where = closed()
    for number in range(MOST + 10):
        watching.ports.suspect(f"client-{number}", {"app-1": where})
    assert len(watching.ports.clients()) == MOST


def test_another_address_of_a_server_is_looked_at_from_the_beginning(
    watching: Watching, opened: ExitStack
) -> None:
    watching.ports.suspect("one", {"app-1": closed()})
    watching.let_pass(REFUSED + 4 * STEP)
    watching.ports.suspect("one", {"app-1": place(listening(opened))})
    assert not watching.ports.refuses("one", "app-1")
    watching.let_pass(STEP)
    assert watching.ports.accepts("one", "app-1")
