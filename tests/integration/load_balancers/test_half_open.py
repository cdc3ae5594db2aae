"""Peers that vanish without a word are found, and slow ones are not taken for them.

A network namespace stands for the rest of the world; what it drops is black-holed. The
times of HAProxy's configuration are cut to a few seconds, all by the same rule.
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

from tests.integration.load_balancers.rendered import (
    APPLICATIONS,
    balancer,
    echo,
    free_ports,
    healthy,
    listening,
    wait_until,
)

HERE, THERE, ELSEWHERE = (f"10.231.{os.getpid() % 250}.{n}" for n in (1, 2, 3))
FOUND_WITHIN = 8
"""Seconds: 2 x 3 of the shortened times, and some for a busy machine."""

T = TypeVar("T")


def shortened(text: str) -> str:
    """A configuration with 3 s in place of each 60 s until a dead peer is found."""
    for old, new in (
        (r"(\S+tcpka-idle) 30s", r"\1 2s"),
        (r"(\S+tcpka-intvl) 10s", r"\1 500ms"),
        (r"tcp-ut 60s", "tcp-ut 3s"),
    ):
        text, count = re.subn(old, new, text)
        assert count >= 2, old
    return text.replace("bind 127.0.0.1:", f"bind {HERE}:")


@dataclass(frozen=True)
class World:
    """A network namespace that is one hop away."""

    name: str

    def command(self, *words: str) -> None:
        subprocess.run(["ip", "netns", "exec", self.name, *words], check=True)

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

    def connect(self, port: int, source: str) -> socket.socket:
        """A connection of a client's there."""
        return self.inside(
            lambda: socket.create_connection((HERE, port), 5, (source, 0))
        )

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
def world() -> Iterator[World]:
    name = f"pwhalf{os.getpid()}"
    link, other = f"pwh{os.getpid()}"[:15], "eth0"
    found = World(name)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        peer = ("peer", "name", other, "netns", name)
        subprocess.run(["ip", "link", "add", link, "type", "veth", *peer], check=True)
        subprocess.run(["ip", "addr", "add", f"{HERE}/24", "dev", link], check=True)
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        for address in (THERE, ELSEWHERE):
            found.command("ip", "addr", "add", f"{address}/24", "dev", other)
        found.command("ip", "link", "set", other, "up")
        yield found
    finally:
        # The namespace itself goes with the last socket in it.
        subprocess.run(["ip", "link", "del", link], check=True)
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_vanished_client_frees_its_only_place_though_data_is_unacknowledged(
    world: World, tmp_path: Path
) -> None:
    answer = threading.Event()

    def slow_first(connection: socket.socket) -> None:
        data = connection.recv(4096)
        assert answer.wait(30)
        connection.sendall(data)
        echo(connection)

    port, health = free_ports(2)
    entry = {"client_name": "one", "client_port": port, "max_connections": 1}
    with ExitStack() as stack:
        for address in APPLICATIONS:
            stack.enter_context(listening(address, health, healthy))
            stack.enter_context(listening(address, port, slow_first))
        found = stack.enter_context(
            balancer(tmp_path, [entry], shortened, health=health)
        )
        wait_until(lambda: found.up() == 2)
        first = stack.enter_context(world.connect(port, THERE))
        first.sendall(b"a message")
        wait_until(lambda: ",app-1,0,0,1," in found.ask("show stat -1 4 -1"))
        world.drop(f"ip {{}}addr {THERE}")
        answer.set()  # it is sent to someone who is gone

        second = stack.enter_context(world.connect(port, ELSEWHERE))
        second.settimeout(FOUND_WITHIN)
        second.sendall(b"the same message")
        assert second.recv(4096) == b"the same message"


def test_vanished_application_ends_the_stream_though_data_is_unacknowledged(
    world: World, tmp_path: Path
) -> None:
    port, health = free_ports(2)
    entry = {"client_name": "one", "client_port": port}
    with ExitStack() as stack:
        for number, converse in ((port, echo), (health, healthy)):
            served = listening(THERE, number, converse)
            world.inside(partial(stack.enter_context, served))

        def there(text: str) -> str:
            return shortened(text).replace(APPLICATIONS[0], THERE)

        found = stack.enter_context(balancer(tmp_path, [entry], there, health=health))
        wait_until(lambda: found.up() == 1)
        with socket.create_connection((HERE, port), 5) as client:
            client.sendall(b"a message")
            assert client.recv(4096) == b"a message"
            world.drop(f"tcp {{}}port {port}")  # its health is as good as ever
            client.sendall(b"another")
            client.settimeout(FOUND_WITHIN)
            assert client.recv(4096) == b""
        assert found.up() == 1


def test_client_that_reads_slowly_is_not_taken_for_dead(
    world: World, tmp_path: Path
) -> None:
    much = b"x" * 20_000_000
    port, health = free_ports(2)
    entry = {"client_name": "one", "client_port": port}
    with ExitStack() as stack:
        for address in APPLICATIONS:
            stack.enter_context(listening(address, health, healthy))
            stack.enter_context(listening(address, port, lambda c: c.sendall(much)))
        found = stack.enter_context(
            balancer(tmp_path, [entry], shortened, health=health)
        )
        wait_until(lambda: found.up() == 2)
        client = stack.enter_context(world.connect(port, THERE))
        received, ends = 0, time.monotonic() + 2 * 3 + 1
        while data := client.recv(1_000_000):
            received += len(data)
            if time.monotonic() < ends:  # longer than a dead one would last
                time.sleep(0.5)
        assert received == len(much)
