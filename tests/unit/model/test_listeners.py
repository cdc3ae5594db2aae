"""A client's change: what is served meanwhile, and what no order can do."""

from typing import Any

import pytest

from portway.model.listeners import (
    Listener,
    Route,
    impossible,
    listeners,
    meanwhile,
    only_used,
    routes,
)
from portway.model.stack import Role
from tests.unit.samples import cluster

Entries = list[dict[str, Any]]


def client(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"client_name": name, "client_port": port, **more}


def at(entries: Entries, node: str = "app-1") -> list[Route]:
    """Where clients are sent on one node."""
    found = cluster(*entries)
    (address,) = (
        n.address for n in found.stack.with_role(Role.APPLICATION) if n.name == node
    )
    return [route for route in routes(found) if route.address == address]


def served(before: Entries, after: Entries, node: str = "app-1") -> tuple[Any, ...]:
    """Ports meanwhile, and those that are closed in the end."""
    old = [route.listener for route in at(before, node)]
    new = [route.listener for route in at(after, node)]
    both = meanwhile(new, old)
    assert {listener.name for listener in both} == {i.name for i in both}
    assert len({listener.name for listener in both}) == len(both)
    return (
        [listener.port for listener in both],
        [listener.port for listener in only_used(new, old)],
    )


ONE, TWO = client("one", 9001), client("two", 9002)


@pytest.mark.parametrize(
    ("before", "after", "ports", "closed"),
    [
        ([ONE], [ONE], [9001], []),
        ([ONE], [ONE, TWO], [9001, 9002], []),
        ([ONE, TWO], [ONE], [9001, 9002], [9002]),
        ([ONE, TWO], [ONE, TWO | {"enabled": False}], [9001, 9002], [9002]),
        ([ONE], [ONE | {"app_port": 7001}], [7001, 9001], [9001]),
        ([ONE], [ONE | {"app_port": 7001, "send_proxy": True}], [7001, 9001], [9001]),
        ([ONE, TWO], [ONE, TWO | {"nodes": ["app-2"]}], [9001, 9002], [9002]),
        ([ONE, TWO | {"nodes": ["app-2"]}], [ONE, TWO], [9001, 9002], []),
        ([ONE], [client("renamed", 9001)], [9001], []),
        ([ONE, TWO], [client("one", 9002), client("two", 9001)], [9001, 9002], []),
        ([client("one", 9001, app_port=7000)], [client("one", 9005, app_port=7000)],
         [7000], []),
    ],
)  # fmt: skip
def test_application_serves_what_is_used_and_what_will_be(
    before: Entries, after: Entries, ports: list[int], closed: list[int]
) -> None:
    assert served(before, after) == (ports, closed)
    assert list(impossible(at(after), at(before), ())) == []


def test_port_that_a_client_leaves_keeps_its_client() -> None:
    old, new = at([ONE]), at([ONE | {"app_port": 7001}])
    both = meanwhile([r.listener for r in new], [r.listener for r in old])
    assert [(i.port, i.client, i.name) for i in both] == [
        (7001, "one", "one"),
        (9001, "one", "one@9001"),
    ]


@pytest.mark.parametrize("change", [{"mode": "http"}, {"send_proxy": True}])
def test_one_port_cannot_be_served_in_two_ways(change: dict[str, Any]) -> None:
    before, after = at([ONE]), at([ONE | change])
    ((name, why),) = impossible(after, before, ())
    assert name == "one"
    assert "give one another app_port in the same change" in why
    # … unless the application speaks so already, and only HAProxy is behind.
    assert not list(impossible(after, before, [after[0].listener]))
    assert not list(impossible(after, [], []))


def test_port_of_a_removed_client_is_not_taken_over_in_another_way() -> None:
    after = at([client("new", 9001, mode="http")])
    assert len(list(impossible(after, at([ONE]), ()))) == 1


def test_clients_do_not_swap_ports_of_the_application() -> None:
    before = [ONE | {"app_port": 7001}, TWO | {"app_port": 7002}]
    after = [ONE | {"app_port": 7002}, TWO | {"app_port": 7001}]
    assert len(list(impossible(at(after), at(before), ()))) == 2
    # That they swap the ports that clients connect to is one step of HAProxy's.
    swapped = [client("one", 9002, app_port=7001), client("two", 9001, app_port=7002)]
    assert served(before, swapped) == ([7001, 7002], [])


def test_listener_is_the_first_clients_where_several_share_it() -> None:
    found = cluster(ONE | {"app_port": 7000}, TWO | {"app_port": 7000})
    (node, _) = found.stack.with_role(Role.APPLICATION)
    assert listeners(found, node) == (Listener("one", 7000, "tcp", False, "one"),)
