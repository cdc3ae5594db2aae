"""The last application node that serves is left alone while another cannot be asked."""

import pytest

from portway.application import draining
from portway.errors import PortwayError
from portway.load_balancers.haproxy import BackendServer, Balancing
from tests.unit import samples

CLUSTER = samples.cluster()
FIRST, SECOND = (node for node in CLUSTER.stack.nodes if node.name.startswith("app-"))


def refuse(monkeypatch: pytest.MonkeyPatch, *lost: str, second_serves: bool) -> None:
    servers = tuple(
        BackendServer("tcp", node.name, node.address, up, False, 0)
        for node, up in ((FIRST, True), (SECOND, second_serves))
    )
    found = {"lb-1": Balancing(True, True, servers), "lb-2": Balancing()}
    monkeypatch.setattr(draining, "is_lost", lambda name: name in lost)
    draining._refuse_if_last(CLUSTER, found, FIRST)


def test_last_node_is_not_taken_out_of_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PortwayError, match="app-1 is the only application node that"):
        refuse(monkeypatch, "app-2", second_serves=False)


def test_node_beside_another_that_serves_is(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "app-2", second_serves=True)


def test_without_a_lost_node_it_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken one goes first, and stops the rest if it does not become healthy."""
    refuse(monkeypatch, second_serves=False)
