"""Runs do without a load balancer only while no address points to it."""

from dataclasses import replace

import pytest
from pyinfra.api.state import State
from pyinfra.context import ctx_state

from portway.contract.address import AddressObject
from portway.errors import PortwayError
from portway.load_balancers import lost
from portway.load_balancers.haproxy import BalancingFacts
from tests.unit import samples

OBJECTS = [AddressObject("rtb-1"), AddressObject("rtb-2")]


def left_out(
    monkeypatch: pytest.MonkeyPatch, *holders: str | None, is_lost: bool = True
) -> bool:
    """Whether lb-2 is left out while the address objects point to these."""
    cluster = samples.cluster()
    interface = {lb.name: lb.node.interface_id for lb in cluster.load_balancers}
    found = [
        replace(thing, holder=interface.get(holder or ""))
        for thing, holder in zip(OBJECTS, holders, strict=True)
    ]
    monkeypatch.setattr(lost, "is_silent", lambda _: is_lost)
    monkeypatch.setattr(lost, "address_reader", lambda _: lambda: tuple(found))
    with ctx_state.use(State()):
        return lost.is_left_out(cluster, cluster.load_balancer("lb-2"))


def test_one_that_has_nothing_of_the_address_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert left_out(monkeypatch, "lb-1", "lb-1")
    assert left_out(monkeypatch, "lb-1", None)
    assert not left_out(monkeypatch, "lb-1", "lb-1", is_lost=False)


@pytest.mark.parametrize("holder", ["lb-1", "lb-2"])
def test_one_that_shows_to_be_lost_when_it_is_asked_is_left_out_from_then_on(
    monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    """The run had not connected to it: ``--limit`` named others."""
    cluster = samples.cluster()
    held = replace(OBJECTS[0], holder=cluster.load_balancer(holder).node.interface_id)
    asked: list[str] = []

    def ask(node: str, _: object) -> None:
        asked.append(node)
        raise PortwayError(f"{node}: it does not answer")

    monkeypatch.setattr(lost, "is_silent", lambda name: name in asked)
    monkeypatch.setattr(lost, "node_of_run", lambda name: name)
    monkeypatch.setattr(lost, "ask", ask)
    monkeypatch.setattr(lost, "address_reader", lambda _: lambda: (held,))
    standby = cluster.load_balancer("lb-2")
    with ctx_state.use(State()):
        for _ in range(2):
            if holder == "lb-1":
                fact = lost.ask_unless_left_out(cluster, standby, BalancingFacts)
                assert fact is None
            else:
                with pytest.raises(PortwayError, match="lb-2: it does not answer"):
                    lost.ask_unless_left_out(cluster, standby, BalancingFacts)
    assert len(asked) == (1 if holder == "lb-1" else 2)


def test_one_route_is_enough_to_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not left_out(monkeypatch, "lb-1", "lb-2")
