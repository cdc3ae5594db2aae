"""What is told of a load balancer or a pair that is not as it should be."""

from dataclasses import replace

import pytest

from portway.contract.address import AddressObject
from portway.load_balancers.status import (
    DownServer,
    LoadBalancerFacts,
    LoadBalancerStatus,
)
from portway.load_balancers.verify import (
    client_nodes,
    down_servers,
    keeper_problems,
    node_problems,
    older_streams,
    pair_problems,
    unserved,
    unserved_clients,
    waiting,
    without_nodes,
    without_peer,
)
from portway.model.build import build_cluster
from tests.unit.samples import clients, cluster, settings, stack

CLUSTER = cluster()
GOOD = LoadBalancerStatus(
    frontends=frozenset({"one", "stats"}),
    backends=frozenset({"tcp_leastconn"}),
    keepalived_active=True,
    mover_active=True,
    check_active=True,
    check_counts=True,
    keeper_active=True,
)
MASTER = replace(GOOD, holds_vrrp_address=True)


def test_node_that_serves_has_no_shortcomings() -> None:
    assert node_problems(CLUSTER, GOOD, GOOD) == ()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (LoadBalancerStatus(), "HAProxy does not answer on its socket; if"),
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
    ],
)
def test_each_shortcoming_of_a_node_is_named(
    status: LoadBalancerStatus, expected: str
) -> None:
    assert expected in "; ".join(node_problems(CLUSTER, status, GOOD))


@pytest.mark.parametrize("peer", [None, replace(GOOD, backends=frozenset())])
def test_backend_that_the_peer_does_not_serve_either_is_no_shortcoming_of_a_node(
    peer: LoadBalancerStatus | None,
) -> None:
    status = replace(GOOD, backends=frozenset())
    assert node_problems(CLUSTER, status, peer) == ()
    assert unserved(CLUSTER, {"lb-1": status, "lb-2": peer}) == (
        "no load balancer finds a healthy server for: tcp_leastconn",
    )


def test_backend_that_one_node_serves_is_served() -> None:
    status = replace(GOOD, backends=frozenset())
    assert unserved(CLUSTER, {"lb-1": status, "lb-2": GOOD}) == ()


BACKEND = "tcp_leastconn"
UPGRADE = DownServer(BACKEND, "app-1", "DOWN", "L7STS/426 (Upgrade Required)")
REFUSED = DownServer(BACKEND, "app-2", "DOWN", "L4CON (Connection refused)")
TAKEN_OUT = DownServer(BACKEND, "app-1", "MAINT", "L7OK/200 (OK)")


def test_backend_without_a_server_is_told_with_haproxy_s_reasons() -> None:
    status = replace(GOOD, backends=frozenset(), down=(UPGRADE, REFUSED))
    expected = (
        f"{BACKEND} (app-1: L7STS/426 (Upgrade Required); "
        "app-2: L4CON (Connection refused))"
    )
    (of_node,) = node_problems(CLUSTER, status, GOOD)
    (of_pair,) = unserved(CLUSTER, {"lb-1": status, "lb-2": status})
    assert of_node.endswith(f"backends without a healthy server: {expected}")
    assert of_pair.endswith(f"finds a healthy server for: {expected}")


def test_every_server_that_is_down_anywhere_is_told_once_for_each_reason() -> None:
    statuses = {
        "lb-1": replace(GOOD, down=(UPGRADE, replace(UPGRADE, backend="http"))),
        "lb-2": replace(GOOD, down=(UPGRADE, REFUSED)),
        "lb-3": replace(GOOD, down=(TAKEN_OUT,)),
        "lb-4": None,
    }
    both, taken_out, refused = down_servers(statuses)
    assert both.startswith(
        f"lb-1 and lb-2 see app-1 as down in http, {BACKEND}: "
        "L7STS/426 (Upgrade Required): its health check answers anything but 200"
    )
    assert taken_out == f"lb-3 sees app-1 as down in {BACKEND}: MAINT"
    assert refused.startswith(f"lb-2 sees app-2 as down in {BACKEND}: L4CON (Conn")
    assert down_servers({"lb-1": GOOD, "lb-2": None}) == ()


def test_client_that_no_healthy_node_serves_is_named_with_the_reason() -> None:
    found = cluster(
        {"client_name": "one", "client_port": 9001},
        {"client_name": "two", "client_port": 9002, "app_port": 9102},
        {"client_name": "three", "client_port": 9003, "nodes": ["app-1"]},
        {"client_name": "four", "client_port": 9004, "ordered": True},
        app_nodes=3,
    )
    down = tuple(replace(UPGRADE, backend=b.name) for b in found.backends)
    nodes = client_nodes(found, {"lb-1": replace(GOOD, down=down), "lb-2": None})
    _, second, third = (server.address for server in found.backends[0].servers)
    assert nodes == {
        "one": (9001, (second, third)),
        "two": (9102, (second, third)),
        "four": (9004, (second, third)),
    }
    assert unserved_clients(found, nodes, {"two": "Connection refused"}) == (
        "nobody serves two: port 9102 of app-2, app-3: Connection refused",
    )
    assert unserved_clients(found, nodes, {}) == ()


def test_client_whose_nodes_are_all_gone_is_named_and_waited_for_by_nobody() -> None:
    entries = (
        {"client_name": "some", "client_port": 9001, "nodes": ["app-3", "app-1"]},
        {"client_name": "none", "client_port": 9002, "nodes": ["app-3"]},
    )
    found = build_cluster(
        stack(names=("app-1", "app-2", "app-3")), settings(), clients(*entries)
    )
    served = frozenset(b.name for b in found.backends if b.servers)
    status = replace(GOOD, backends=served)
    assert unserved(found, {"lb-1": status, "lb-2": None}) == ()
    shown = replace(status, frontends=frozenset({"some", "none", "stats"}))
    assert node_problems(found, shown, status) == ()
    every = frozenset(b.name for b in found.backends)
    behind = replace(status, backends=every)  # the peer still has the node
    assert node_problems(found, shown, behind) == ()
    assert without_nodes(found) == (
        "no node for none: its nodes are app-3, and there is none of that name now; "
        "launch one, or change its nodes",
    )
    assert without_nodes(CLUSTER) == ()


def test_long_lists_are_cut() -> None:
    entries = [{"client_name": f"c{n}", "client_port": 9000 + n} for n in range(9)]
    status = replace(GOOD, frontends=frozenset({"stats"}))
    (text,) = node_problems(cluster(*entries), status, GOOD)
    assert text.endswith("c0, c1, c2, c3, c4 and 4 more")


@pytest.mark.parametrize(
    ("lb_1", "lb_2", "expected"),
    [
        (MASTER, GOOD, None),
        (MASTER, MASTER, "both"),
        (GOOD, GOOD, "neither"),
        (GOOD, MASTER, "lb-1 serves and is the master of record"),
        (replace(GOOD, frontends=frozenset(), backends=frozenset()), MASTER, None),
        (replace(GOOD, handed_over=True), MASTER, None),
        (replace(MASTER, handed_over=True), GOOD, "lb-2 serves and should be"),
        (replace(MASTER, frontends=frozenset()), GOOD, "lb-2 serves and should be"),
        (
            replace(MASTER, handed_over=True),
            replace(GOOD, frontends=frozenset()),
            None,
        ),
        (replace(GOOD, keepalived_active=False), MASTER, "keepalived is not running"),
        (MASTER, replace(GOOD, mover_active=False), "portway-address is not running"),
        (MASTER, replace(GOOD, check_active=False), "portway-check is not running"),
        (
            replace(MASTER, check_counts=False),
            GOOD,
            "keepalived on lb-1 does not run its check: see journalctl",
        ),
        (
            MASTER,
            replace(GOOD, check_counts=False, unsafe_paths=("/usr", "/usr/bin")),
            "others than root may write to /usr /usr/bin: chown root:root /usr /usr/bin"
            " && chmod go-w /usr /usr/bin && systemctl restart keepalived",
        ),
        (
            replace(MASTER, handed_over=True),
            replace(GOOD, handed_over=True),
            "both lb-1 and lb-2 have handed the address over on purpose",
        ),
        (replace(GOOD, waited=0.0), MASTER, None),
        (replace(GOOD, waited=70.0), MASTER, None),
        (replace(GOOD, waited=80.0), MASTER, "lb-1 serves and is the master of record"),
        (MASTER, replace(GOOD, keeper_active=False), "portway-streams is not running"),
        (None, MASTER, None),
        (None, GOOD, None),
        (MASTER, None, None),
        # Left out by --limit: its configuration is older, and it is the right one.
        (replace(MASTER, frontends=frozenset({"old", "stats"})), GOOD, None),
        (GOOD, None, "lb-1 serves and is the master of record"),
    ],
)
def test_pair_has_exactly_the_right_master(
    lb_1: LoadBalancerStatus | None,
    lb_2: LoadBalancerStatus | None,
    expected: str | None,
) -> None:
    statuses = {"lb-1": lb_1, "lb-2": lb_2}
    masters = [n for n, s in statuses.items() if s and s.is_vrrp_master]
    place = AddressObject("eipalloc-1", interface(masters[0]) if masters else None)
    if not masters:
        place = AddressObject(
            "eipalloc-1",
            next((interface(n) for n, s in statuses.items() if s is None), None),
        )
    found = pair_problems(CLUSTER, statuses, [place])
    assert (expected is None) == (found == ())
    assert expected is None or expected in found[0]


def test_address_that_waits_to_be_taken_back_is_told_with_the_time() -> None:
    statuses = {"lb-1": replace(GOOD, waited=12.0), "lb-2": MASTER}
    assert waiting(CLUSTER, statuses) == (
        "lb-2 has held the address since a fail-over; lb-1 has been serving again for "
        "12 s and takes "
        "it back in 48 s, or when deploys/transfer.py says so",
    )
    by_hand = replace(
        CLUSTER, settings=CLUSTER.settings.model_copy(update={"fail_back": None})
    )
    (text,) = waiting(by_hand, statuses)
    assert text.endswith("takes it back when deploys/transfer.py says so")
    days = {"lb-1": replace(GOOD, waited=1e6), "lb-2": MASTER}
    assert pair_problems(by_hand, days, [AddressObject("x", interface("lb-2"))]) == ()


def interface(name: str) -> str:
    return CLUSTER.load_balancer(name).node.interface_id


@pytest.mark.parametrize("holder", ["lb-2", None, "eni-stranger"])
def test_address_that_is_not_the_masters_is_told_with_the_reason(
    holder: str | None,
) -> None:
    id_ = interface(holder) if holder == "lb-2" else holder
    statuses = {"lb-1": replace(MASTER, mover_failure="ec2:X: denied"), "lb-2": GOOD}
    places = [AddressObject("rtb-1", interface("lb-1")), AddressObject("rtb-2", id_)]
    (text,) = pair_problems(CLUSTER, statuses, places)
    assert f"in AWS 203.0.113.9 (rtb-2) points to {holder or 'no one'}, but" in text
    assert "VRRP master is lb-1; lb-1 says: ec2:X: denied" in text


def test_standby_that_may_not_take_the_address_fails_the_pair() -> None:
    refused = "ec2:AssociateAddress: UnauthorizedOperation"
    statuses = {"lb-1": MASTER, "lb-2": replace(GOOD, mover_failure=refused)}
    places = [AddressObject("eipalloc-1", interface("lb-1"))]
    (text,) = pair_problems(CLUSTER, statuses, places)
    assert text.startswith("lb-2 could not take the address: ec2:AssociateAddress")


def test_address_left_behind_by_a_dead_keepalived_is_no_master() -> None:
    assert not replace(MASTER, keepalived_active=False).is_vrrp_master


def test_older_streams_are_told_where_there_are_some() -> None:
    status = replace(MASTER, older=(2, 3), older_for="10d01h")
    hung = replace(GOOD, keeper_problem="HAProxy does not answer")
    assert older_streams({"lb-2": hung}) == ()
    stopped = replace(hung, frontends=frozenset())
    found = keeper_problems({"lb-1": GOOD, "lb-2": hung, "lb-3": None, "lb-4": stopped})
    assert found == {"lb-2": "HAProxy does not answer"}
    texts = older_streams({"lb-1": status, "lb-2": GOOD, "lb-3": None})
    assert texts == (
        "lb-1: 3 streams are in 2 older HAProxy processes, the oldest of which was "
        "started 10d01h ago",
    )


def test_status_is_read_from_what_the_node_prints() -> None:
    lines = [
        "frontend stats",
        "frontend one",
        "backend tcp_leastconn",
        "keepalived active",
        "vrrp master",
        "mover active",
        "age 3",
        'status {"refused": "", "failures": 2, "last_failure": "ec2:X: denied", '
        '"waits_since": 987.5}',
        "now 1000",
        "check active",
        "asked 1",
        "unsafe /usr/bin",
        "transfer 1",
        f"down\t{BACKEND}\tapp-1\tDOWN\tL7STS\t426\tUpgrade Required",
        "keeper active",
        "keeper_age 3",
        'keeper_status {"older": [{"pid": 7, "uptime": "9d00h", "streams": 2}, '
        '{"pid": 8, "uptime": "10d01h", "streams": 1}], "problem": "it hangs"}',
    ]
    expected = replace(
        MASTER,
        mover_failure="ec2:X: denied",
        handed_over=True,
        down=(UPGRADE,),
        unsafe_paths=("/usr/bin",),
        waited=12.5,
        older=(2, 3),
        older_for="10d01h",
        keeper_problem="it hangs",
    )
    assert LoadBalancerFacts().process(lines) == expected


@pytest.mark.parametrize(
    ("age", "active"),
    [("age 0", True), ("age -3600", True), ("age 21", False), ("", False)],
)
def test_mover_that_does_not_write_its_status_hangs(age: str, active: bool) -> None:
    found = LoadBalancerFacts().process(["mover active", age])
    assert found.mover_active is active


@pytest.mark.parametrize("line", ["status {", "status []", "transfer 0", "transfer"])
def test_torn_status_says_nothing(line: str) -> None:
    assert LoadBalancerFacts().process([line]) == LoadBalancerStatus()


ALONE = build_cluster(
    stack(nodes=tuple(node for node in stack().nodes if node.name != "lb-2")),
    settings(),
    clients(),
)


def test_a_load_balancer_that_is_alone_is_told() -> None:
    (text,) = without_peer(ALONE)
    assert text.startswith("lb-1 is the only load balancer: nothing takes over")
    assert without_peer(CLUSTER) == ()


def test_one_that_is_alone_has_to_be_master_and_to_hold_the_address() -> None:
    here = (AddressObject("eipalloc-1", ALONE.load_balancers[0].node.interface_id),)
    handed_over = replace(MASTER, handed_over=True)
    for master in (MASTER, handed_over):
        assert pair_problems(ALONE, {"lb-1": master}, here) == ()
    assert pair_problems(ALONE, {"lb-1": GOOD}, here) == ("lb-1 is not VRRP master",)
    (away,) = pair_problems(ALONE, {"lb-1": MASTER}, (AddressObject("eipalloc-1"),))
    assert "points to no one, but VRRP master is lb-1" in away
    waits = replace(MASTER, waited=3.0)
    assert waiting(ALONE, {"lb-1": waits}) == ()
