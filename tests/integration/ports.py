"""Ports for programs that tests start: below those that the kernel gives to clients."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

FIRST, EACH, WORKERS = 12_000, 3_400, 6
"""Each of the processes that run tests side by side has its own range."""


def _numbers() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    assert worker < WORKERS, f"there are ranges of ports for {WORKERS} processes only"
    first = FIRST + worker * EACH
    number = random.randrange(EACH)
    while True:
        number = (number + 1) % EACH
        yield first + number


_next = _numbers()


def free_port() -> int:
    """A port that nothing listens on, and that no other test is given."""
    while True:
        port = next(_next)
        with suppress(OSError), socket.create_server(("", port)):
            return port


def free_ports(count: int) -> list[int]:
    """So many of them."""
    return [free_port() for _ in range(count)]


@contextmanager
def not_accepting(address: tuple[str, int]) -> Iterator[None]:
    """Have connections to an address stay half made, as to a node that is dead."""
    with ExitStack() as stack:
        stack.enter_context(socket.create_server(address, backlog=0))
        for _ in range(2):  # one that the backlog takes, and one to see that it is full
            full = stack.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(address)
        yield
