"""A port that HAProxy could not listen on: no reload is tried, nobody is refused."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from portway.errors import PortwayError
from tests.integration.load_balancers.haproxy_process import (
    BALANCER,
    Haproxy,
    Nodes,
    Stream,
    applications,
)
from tests.integration.ports import free_port

PLAIN, LATE = free_port(), free_port()
BEFORE = {"client_name": "plain", "client_port": PLAIN}
AFTER = (BEFORE, {"client_name": "late", "client_port": LATE})
TWO: Nodes = {"app-1": 1, "app-2": 2}


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    found = Haproxy(tmp_path, (BEFORE,))
    nodes = applications(found, range(1, 3), [PLAIN, LATE])
    next(nodes)
    found.start(TWO)
    yield found
    found.stop()
    nodes.close()


@contextmanager
def bound() -> Iterator[str]:
    """A program that has bound the port, and neither listens nor connects."""
    with socket.socket() as taker:
        taker.bind((BALANCER, LATE))
        yield "a program that has bound it"


@contextmanager
def connected() -> Iterator[str]:
    """An outgoing connection from the port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), source_address=(BALANCER, LATE)),
    ):
        yield f"to 127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def connecting() -> Iterator[str]:
    """A connection from the port that nobody has answered yet."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        full = [socket.socket() for _ in range(3)]
        full[-1].bind((BALANCER, LATE))
        for each in full:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        yield f"to 127.0.0.1:{server.getsockname()[1]}"
        for each in full:
            each.close()


@contextmanager
def listening() -> Iterator[str]:
    """Another program's listener."""
    with socket.create_server((BALANCER, LATE)):
        yield ", which listens there"


@contextmanager
def knocking() -> Iterator[list[str]]:
    """New connections all the while; what was wrong with any of them."""
    wrong: list[str] = []
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            try:
                socket.create_connection((BALANCER, PLAIN), 5).close()
            except OSError as error:
                wrong.append(str(error))
            time.sleep(0.005)

    thread = threading.Thread(target=knock)
    thread.start()
    yield wrong
    stop.set()
    thread.join()


@pytest.mark.parametrize("taker", [bound, connected, connecting, listening])
def test_reload_that_could_not_listen_is_not_tried(
    haproxy: Haproxy, taker: "type[AbstractContextManager[str]]"
) -> None:
    with taker() as what, knocking() as wrong:
        with pytest.raises(PortwayError) as error:
            haproxy.deploy(TWO, clients=AFTER)
        assert haproxy.reloads() == 0
    assert wrong == []
    assert f"haproxy was not reloaded: port {LATE} is taken by " in error.value.what
    assert what in error.value.what
    haproxy.deploy(TWO, clients=AFTER)
    assert Stream(LATE).node


def test_ports_that_it_listens_on_itself_are_not_taken(haproxy: Haproxy) -> None:
    """After a reload by hand nothing says which are new, so that all are looked at."""
    (haproxy.folder / "loaded" / "haproxy.cfg").unlink()
    haproxy.deploy(TWO, clients=AFTER)
    assert haproxy.reloads() == 1
    assert Stream(LATE).node
