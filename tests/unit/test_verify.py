"""What is told of a load balancer or a pair that is not as it should be."""

from dataclasses import replace

import pytest

from portway.facts import LoadBalancerFacts, LoadBalancerStatus
from portway.verify import node_shortcomings, pair_shortcomings
from tests.unit.samples import cluster

CLUSTER = cluster()
GOOD = LoadBalancerStatus(
    frontends=frozenset({"one", "stats"}),
    backends=frozenset({"tcp_leastconn"}),
    keepalived_active=True,
)
MASTER = replace(GOOD, holds_vrrp_address=True)


def test_node_that_serves_has_no_shortcomings() -> None:
    assert node_shortcomings(CLUSTER, GOOD) == ()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (LoadBalancerStatus(), "HAProxy does not answer on its socket"),
        (
            replace(GOOD, frontends=frozenset({"stats"})),
            "frontends not accepting connections: one",
        ),
        (
            replace(GOOD, frontends=GOOD.frontends | {"old"}),
            "frontends of an older configuration: old",
        ),
        (
            replace(GOOD, backends=frozenset()),
            "backends without a healthy server: tcp_leastconn",
        ),
        (replace(GOOD, keepalived_active=False), "keepalived is not running"),
    ],
)
def test_each_shortcoming_of_a_node_is_named(
    status: LoadBalancerStatus, expected: str
) -> None:
    assert expected in node_shortcomings(CLUSTER, status)


def test_long_lists_are_cut() -> None:
    entries = [{"client_name": f"c{n}", "client_port": 9000 + n} for n in range(9)]
    status = replace(GOOD, frontends=frozenset({"stats"}))
    (text,) = node_shortcomings(cluster(*entries), status)
    assert text.endswith("c0, c1, c2, c3, c4 and 4 more")


@pytest.mark.parametrize(
    ("lb_1", "lb_2", "expected"),
    [
        (MASTER, GOOD, None),
        (MASTER, MASTER, "both"),
        (GOOD, GOOD, "neither"),
        (GOOD, MASTER, "lb-1 serves and is the master of record"),
        (LoadBalancerStatus(keepalived_active=True), MASTER, None),
        (None, MASTER, None),
        (None, GOOD, None),
        (MASTER, None, None),
        (GOOD, None, "lb-1 serves and is the master of record"),
    ],
)
def test_pair_has_exactly_the_right_master(
    lb_1: LoadBalancerStatus | None,
    lb_2: LoadBalancerStatus | None,
    expected: str | None,
) -> None:
    found = pair_shortcomings(CLUSTER, {"lb-1": lb_1, "lb-2": lb_2})
    assert (expected is None) == (found == ())
    assert expected is None or expected in found[0]


def test_address_left_behind_by_a_dead_keepalived_is_no_master() -> None:
    assert not replace(MASTER, keepalived_active=False).is_vrrp_master


def test_status_is_read_from_what_the_node_prints() -> None:
    lines = [
        "frontend stats",
        "frontend one",
        "backend tcp_leastconn",
        "keepalived active",
        "vrrp master",
    ]
    assert LoadBalancerFacts().process(lines) == MASTER
