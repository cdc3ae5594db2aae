"""An ``ordered`` client whose port its healthy node refuses gets the next node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.node.streams import ports
from tests.integration.node.balancer import (
    Balancer,
    balancer,
    is_open,
    senders,
    wait_until,
)

CLIENTS = [
    {"client_name": "one", "ordered": True},
    {"client_name": "two", "ordered": True},
]
IN_TIME = ports.REFUSED + 15


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Balancer]:
    """Two clients that share a backend of three nodes, and the keeper."""
    with balancer(tmp_path, CLIENTS) as found:
        found.start_keeper()
        yield found


def at(running: Balancer, port: int, name: str, seconds: float = IN_TIME) -> None:
    wait_until(lambda: running.active(port) == name, seconds)


def test_refused_client_goes_on_and_comes_back_while_the_others_stay(
    running: Balancer,
) -> None:
    """Over a new start of the keeper and a reload, too."""
    port, other = running.ports
    with senders(other, 2, pause=0.1) as others, senders(port, 2, pause=0.1) as found:
        at(running, port, "app-1")
        established = running.connect(port)
        wait_until(lambda: running.live(port) == {"app-1": 3})
        running.close_port("app-1", port)
        for sender in found:
            sender.reconnect()
        at(running, port, "app-2")
        wait_until(lambda: not is_open(established))
        running.configure()  # the keeper starts anew
        running.reload()
        at(running, port, "app-2")
        assert running.live(other).keys() == {"app-1"}
        running.open_port("app-1", port)
        at(running, port, "app-1", ports.ACCEPTED + 15)
        assert {name for sender in others for _, name in sender.answers} == {"app-1"}
        assert [sender.reconnects for sender in others] == [1, 1]
    assert running.overlaps == []


def test_client_that_all_nodes_refuse_is_not_moved_about(running: Balancer) -> None:
    port, other = running.ports
    with senders(other, 1) as others, senders(port, 1, pause=0.1) as found:
        at(running, port, "app-1")
        for node in running.nodes:
            running.close_port(node.name, port)
        found[0].reconnect()
        wait_until(lambda: running.live(port) == {})
        running.open_port("app-3", port)
        at(running, port, "app-3", IN_TIME)
        running.open_port("app-1", port)
        at(running, port, "app-1", ports.ACCEPTED + 15)
        assert running.log().count("(one): clients use") == 2
        assert [sender.reconnects for sender in others] == [1]
    assert running.overlaps == []
