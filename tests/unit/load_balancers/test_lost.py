"""Runs do without a load balancer only while no address points to it."""

from dataclasses import replace

import pytest
from pyinfra.api.state import State
from pyinfra.context import ctx_state

from portway.contract.address import AddressObject
from portway.load_balancers import lost
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
    monkeypatch.setattr(lost, "is_lost", lambda _: is_lost)
    monkeypatch.setattr(lost, "address_reader", lambda _: lambda: tuple(found))
    with ctx_state.use(State()):
        return lost.is_left_out(cluster, cluster.load_balancer("lb-2"))


def test_one_that_has_nothing_of_the_address_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert left_out(monkeypatch, "lb-1", "lb-1")
    assert left_out(monkeypatch, "lb-1", None)
    assert not left_out(monkeypatch, "lb-1", "lb-1", is_lost=False)


def test_one_route_is_enough_to_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not left_out(monkeypatch, "lb-1", "lb-2")
