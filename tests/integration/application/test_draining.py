"""A node goes out of service and comes back, with a HAProxy that runs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.application import draining
from portway.load_balancers import haproxy as sockets
from portway.load_balancers.haproxy import BalancingFacts
from tests.integration.load_balancers.haproxy_process import (
    NODE,
    Application,
    Haproxy,
    Nodes,
    Stream,
    applications,
)
from tests.integration.ports import free_port

PLAIN, ORDERED = free_port(), free_port()
CLIENTS = (
    {"client_name": "plain", "client_port": PLAIN},
    {"client_name": "in_order", "client_port": ORDERED, "ordered": True},
)
TWO: Nodes = {"app-1": 1, "app-2": 2}
FIRST = NODE.format(1)


@pytest.fixture
def haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Haproxy]:
    """A HAProxy that stands for both load balancers of the cluster."""
    found = Haproxy(tmp_path, CLIENTS)

    def ask(_: object, __: object, fact: type[BalancingFacts]) -> object:
        script = fact().command().replace("systemctl -q is-active haproxy", ":")
        return fact().process(found.shell(script))

    def run(_: str, script: str, stdin: str = "") -> list[str]:
        return found.shell(script, stdin)

    monkeypatch.setattr(sockets, "node_of_run", str)
    monkeypatch.setattr(draining, "is_lost", lambda _: False)
    monkeypatch.setattr(sockets, "ask_unless_left_out", ask)
    monkeypatch.setattr(sockets, "run", run)
    yield found
    found.stop()


@pytest.fixture
def nodes(haproxy: Haproxy) -> Iterator[dict[str, Application]]:
    yield from applications(haproxy, range(1, 3), [PLAIN, ORDERED])


def answering(port: int, tries: int = 8) -> set[str]:
    return {Stream(port).node for _ in range(tries)}


@pytest.mark.usefixtures("nodes")
def test_node_in_maintenance_is_back_as_soon_as_it_is_checked(
    haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "PATIENCE", 20)
    haproxy.start(TWO)
    cluster = haproxy.cluster(TWO)
    node = next(node for node in cluster.stack.nodes if node.address == FIRST)
    for lb, balancing in sockets.ask_load_balancers(cluster).items():
        sockets.stop_servers(lb, balancing.of(FIRST))
    assert FIRST not in answering(PLAIN) | answering(ORDERED, 1)
    began = time.monotonic()
    draining.put_back(cluster, node)
    # HAProxy makes no checks of servers in maintenance: who waits for them to pass
    # waits for all of PATIENCE.
    assert time.monotonic() - began < 10
    assert FIRST in answering(PLAIN)
