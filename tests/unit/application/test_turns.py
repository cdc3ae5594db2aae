"""In which order application nodes change, and what is said beforehand."""

import pytest

from portway.application.turns import announcements, turns
from portway.errors import PortwayError
from portway.load_balancers.haproxy import BackendServer, Balancing
from portway.model.build import build_cluster
from portway.model.stack import Role
from tests.unit.samples import clients, settings, stack


def order(up: list[int], down: list[int], batch: int = 1, nodes: int = 3) -> list[str]:
    """Turns where HAProxy knows some nodes, by number: those up, and those down."""
    found = build_cluster(stack(nodes), settings(app_batch=batch), clients())
    servers = tuple(
        BackendServer("b", node.name, node.address, number in up, False, 0)
        for number, node in enumerate(found.stack.with_role(Role.APPLICATION), 1)
        if number in [*up, *down]
    )
    balancing = {"lb-1": Balancing(True, True, servers), "lb-2": Balancing()}
    return [
        " ".join(name.removeprefix("app-") for name in turn)
        for turn in turns(found, balancing)
    ]


def test_nodes_of_a_new_stack_go_at_once() -> None:
    assert order([], []) == ["1 2 3"]


def test_one_node_goes_first_if_nobody_serves() -> None:
    assert order([], [1, 2, 3]) == ["1", "2 3"]
    assert order([], [2, 3]) == ["2", "1 3"]


def test_broken_and_new_nodes_go_before_those_that_serve() -> None:
    assert order([1], [2]) == ["2 3", "1"]
    assert order([1, 2, 3], [], 2) == ["1 2", "3"]


def test_batch_that_leaves_nobody_is_refused() -> None:
    for batch in (3, 4):
        with pytest.raises(PortwayError, match="set it to 2 or less") as error:
            order([1, 2, 3], [], batch)
        assert "(app-1, app-2, app-3)" in str(error.value)
    with pytest.raises(PortwayError, match="--data app_batch=2"):
        order([1, 2], [3], 3)


def test_dead_node_does_not_stop_its_own_repair() -> None:
    assert order([1, 2], [3], 2) == ["3", "1", "2"]


def test_only_node_that_serves_may_be_changed() -> None:
    assert order([1], [], 1, nodes=1) == ["1"]
    assert order([1], [], 5, nodes=1) == ["1"]


def test_what_happens_is_said_by_node_and_reason() -> None:
    told = {
        "app-2": [("drained and restarted", "release 2.0.0")],
        "app-1": [("drained and restarted", "release 2.0.0")],
        "app-3": [("", ""), ("reloaded", "to close a port")],
    }
    assert list(announcements(told)) == [
        "2 of 3 application nodes will be drained and restarted (app-1, app-2): "
        "release 2.0.0",
        "1 of 3 application nodes will be reloaded (app-3): to close a port",
    ]
