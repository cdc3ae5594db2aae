"""Peers that vanish without a word are found, and slow ones are not taken for them.

HAProxy is in one network namespace and the rest of the world in another; what that one
drops is black-holed. The times of HAProxy's configuration are cut to a few seconds, all
by the same rule.
"""

import ctypes
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from portway.render.load_balancer import RETRIES
from tests.integration.load_balancers.rendered import (
    APPLICATIONS,
    Balancer,
    Conversation,
    balancer,
    echo,
    healthy,
    listening,
    wait_until,
)
from tests.integration.ports import free_ports

HERE, THERE, ELSEWHERE = "10.231.77.1", "10.231.77.2", "10.231.77.3"
FOUND_WITHIN = 8
"""Seconds: 2 x 3 of the shortened times, and some for a busy machine."""

T = TypeVar("T")


def shortened(text: str) -> str:
    """A configuration with about 3 s in place of each 60 s until one is found."""
    for old, new in (
        (r"(\S+tcpka-idle) 30s", r"\1 2s"),
        (r"(\S+tcpka-intvl) 10s", r"\1 500ms"),
        (r"tcp-ut 60s", "tcp-ut 3s"),
    ):
        text, count = re.subn(old, new, text)
        assert count, old
    return text.replace("bind 127.0.0.1:", f"bind {HERE}:")


@dataclass(frozen=True)
class Place:
    """A network namespace."""

    name: str

    @property
    def enter(self) -> tuple[str, ...]:
        """What starts a command there."""
        return "ip", "netns", "exec", self.name

    def command(self, *words: str) -> None:
        subprocess.run([*self.enter, *words], check=True)

    def inside(self, work: Callable[[], T]) -> T:
        """Do something there: sockets stay where they are made."""
        done: list[T] = []

        def run() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/run/netns/{self.name}").open() as namespace:
                assert libc.setns(namespace.fileno(), 0) == 0
            done.append(work())

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return done[0]

    def serve(self, stack: ExitStack, address: str, **ports: Conversation) -> None:
        """Listen there on ports, given as ``p9001``, until the stack ends."""
        for port, converse in ports.items():
            served = listening(address, int(port[1:]), converse)
            self.inside(partial(stack.enter_context, served))

    def connect(self, stack: ExitStack, port: int, source: str) -> socket.socket:
        """A connection to HAProxy from there."""
        made = self.inside(
            lambda: socket.create_connection((HERE, port), 5, (source, 0))
        )
        return stack.enter_context(made)

    def drop(self, match: str) -> None:
        """Let packets vanish in both directions."""
        self.command(
            "nft",
            "add table ip gone; "
            "add chain ip gone in { type filter hook input priority 0; }; "
            "add chain ip gone out { type filter hook output priority 0; }; "
            + "".join(
                f"add rule ip gone {chain} {match.format(side)} drop; "
                for chain, side in (("in", "d"), ("out", "s"))
            ),
        )


@pytest.fixture
def near() -> Iterator[Place]:
    """Where HAProxy is."""
    yield from made(f"pwnear{os.getpid()}")


@pytest.fixture
def far(near: Place) -> Iterator[Place]:
    """The rest of the world, one hop away."""
    for place in made(f"pwfar{os.getpid()}"):
        ends = ("peer", "name", "eth0", "netns", place.name)
        near.command("ip", "link", "add", "eth0", "type", "veth", *ends)
        for end, *addresses in ((near, HERE), (place, THERE, ELSEWHERE)):
            for address in addresses:
                end.command("ip", "addr", "add", f"{address}/24", "dev", "eth0")
            end.command("ip", "link", "set", "eth0", "up")
        yield place


def made(name: str) -> Iterator[Place]:
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        place = Place(name)
        place.command("ip", "link", "set", "lo", "up")
        yield place
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@dataclass
class Site:
    """HAProxy before two application nodes, with one client that may connect once."""

    stack: ExitStack
    near: Place
    folder: Path
    port: int
    health: int

    def start(self, edit: Callable[[str], str] = shortened) -> Balancer:
        """Start HAProxy, and wait until it finds the nodes that are healthy."""
        entry = {"client_name": "one", "client_port": self.port, "max_connections": 1}
        made = balancer(self.folder, [entry], edit, self.near.enter, health=self.health)
        found = self.stack.enter_context(made)
        wait_until(lambda: found.ask("show stat -1 4 -1").count("L7OK") > 0)
        return found

    def serve(self, place: Place, address: str, converse: Conversation) -> None:
        """An application node."""
        ports = {f"p{self.port}": converse, f"p{self.health}": healthy}
        place.serve(self.stack, address, **ports)


@pytest.fixture
def site(near: Place, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, near, tmp_path, *free_ports(2))


def test_vanished_client_frees_its_only_place_though_data_is_unacknowledged(
    near: Place, far: Place, site: Site
) -> None:
    came, answer = threading.Event(), threading.Event()

    def slow_first(connection: socket.socket) -> None:
        data = connection.recv(4096)
        came.set()
        assert answer.wait(30)
        connection.sendall(data)
        echo(connection)

    for address in APPLICATIONS:
        site.serve(near, address, slow_first)
    site.start()
    first = far.connect(site.stack, site.port, THERE)
    first.sendall(b"a message")
    assert came.wait(10)
    far.drop(f"ip {{}}addr {THERE}")
    answer.set()  # it is sent to someone who is gone

    second = far.connect(site.stack, site.port, ELSEWHERE)
    second.settimeout(FOUND_WITHIN)
    second.sendall(b"the same message")
    assert second.recv(4096) == b"the same message"


def test_vanished_application_ends_the_stream_though_data_is_unacknowledged(
    near: Place, far: Place, site: Site
) -> None:
    near.command("sysctl", "-q", "-w", f"{RETRIES}=3")  # 3 s
    site.serve(far, THERE, echo)
    found = site.start(lambda text: shortened(text).replace(APPLICATIONS[0], THERE))
    client = near.connect(site.stack, site.port, HERE)
    client.sendall(b"a message")
    assert client.recv(4096) == b"a message"
    far.drop(f"tcp {{}}port {site.port}")  # its health is as good as ever
    client.sendall(b"another")
    client.settimeout(FOUND_WITHIN)
    assert client.recv(4096) == b""
    assert found.up() == 1


def test_application_that_does_not_read_is_not_taken_for_dead(
    near: Place, far: Place, site: Site
) -> None:
    much = b"x" * 20_000_000
    received, read = [0], threading.Event()

    def lazy(connection: socket.socket) -> None:
        assert read.wait(30)
        while data := connection.recv(1_000_000):
            received[0] += len(data)

    near.command("sysctl", "-q", "-w", f"{RETRIES}=3")
    site.serve(far, THERE, lazy)
    site.start(lambda text: shortened(text).replace(APPLICATIONS[0], THERE))
    client = near.connect(site.stack, site.port, HERE)
    client.settimeout(30)
    sender = threading.Thread(target=client.sendall, args=(much,))
    sender.start()
    time.sleep(2 * 3 + 1)  # longer than a dead one would last
    read.set()
    sender.join()
    wait_until(lambda: received[0] == len(much))
