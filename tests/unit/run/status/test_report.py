"""What a system that was seen means: its state, its clients, and what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from portway.application.status import ApplicationStatus
from portway.errors import PortwayError
from portway.load_balancers.status import DownServer, LoadBalancerStatus
from portway.load_balancers.traffic import ClientTraffic, OldWorker, Traffic
from portway.model.stack import Role
from portway.run.nodes import Nodes
from portway.run.status.asking import seen_by
from portway.run.status.report import report
from portway.run.status.values import System
from tests.unit import samples
from tests.unit.run.status.systems import DEPLOYED, NOW, but, but_status, system

INVENTORY = "inventories/prod.py"
DOWN = DownServer("tcp_leastconn", "app-1", "DOWN", "L4CON (Connection refused)")


def told(found: System) -> list[tuple[str, str, str]]:
    """The findings: kind, text and command."""
    return [(f.kind, f.text, f.do) for f in report(found, INVENTORY).findings]


def test_system_in_which_all_is_well_has_no_findings() -> None:
    found = report(system(), INVENTORY)
    assert found.findings == ()
    assert found.exit_status == 0
    assert found.agreement == "points to lb-1, the VRRP master"
    assert [(n.name, n.state, n.vrrp) for n in found.nodes] == [
        ("lb-1", "serves", "master"),
        ("lb-2", "serves", "backup"),
        ("app-1", "serves", ""),
        ("app-2", "serves", ""),
    ]
    (client,) = found.clients
    assert (client.state, client.connections, client.nodes) == (
        "served",
        2,
        ("app-1", "app-2"),
    )


@pytest.mark.parametrize(
    ("change", "status", "text", "command"),
    [
        (
            lambda s: but(s, "lb-2", traffic=Traffic()),
            2,
            "lb-2: HAProxy is not running",
            "deploys/lb.py",
        ),
        (  # with no older stream anywhere
            lambda s: but_status(s, "lb-2", keeper_problem="HAProxy does not answer"),
            2,
            "lb-2: portway-streams: HAProxy does not answer",
            "deploys/lb.py",
        ),
        (
            lambda s: but_status(s, "lb-1", frontends=frozenset()),
            2,
            "lb-1: HAProxy does not answer on its socket",
            "ssh 10.60.0.5 sudo systemctl restart haproxy",
        ),
        (
            lambda s: but_status(s, "lb-1", down=(DOWN,)),
            2,
            "lb-1 sees app-1 as down in tcp_leastconn: L4CON (Connection refused)",
            "deploys/app.py",
        ),
        (
            lambda s: but(s, "app-2", application=ApplicationStatus("failed")),
            2,
            "app-2: the unit message-app is failed",
            "deploys/app.py",
        ),
        (
            lambda s: but(s, "lb-2", problem="does not answer", balancer=None),
            1,
            "lb-2 could not be asked: does not answer",
            "describe-instance-status --instance-ids i-",
        ),
        (
            lambda s: replace(s, aws_problem="no credentials"),
            1,
            "AWS could not be asked, so the nodes shown are those of 2026-11-27",
            "aws sts get-caller-identity",
        ),
        (
            lambda s: but_status(s, "lb-2", mover_active=False),
            2,
            "portway-address is not running on lb-2",
            "deploys/lb.py",
        ),
        (
            lambda s: but_status(s, "lb-2", holds_vrrp_address=True),
            2,
            "both lb-2 and lb-1 are VRRP master",
            "deploys/lb.py",
        ),
        (
            lambda s: but(s, "app-1", deployed=replace(DEPLOYED, succeeded=False)),
            2,
            "the last run on app-1 did not succeed",
            "deploys/site.py",
        ),
        (
            lambda s: but(s, "lb-1", going_on="bob runs deploys/lb.py since now"),
            0,
            "a run is going on: bob runs deploys/lb.py",
            "",
        ),
        (
            lambda s: but(s, "lb-2", suspended="suspended by anna since now: tests"),
            0,
            "lb-2 is suspended by anna since now: tests",
            "",
        ),
        (
            lambda s: but(s, "lb-2", deployed=None),
            2,
            "nothing has been deployed to lb-2 yet",
            "deploys/lb.py",
        ),
    ],
)
def test_each_thing_is_told_with_what_mends_it(
    change: Callable[[System], System], status: int, text: str, command: str
) -> None:
    changed = change(system())
    found = [t for t in told(changed) if t[1].startswith(text)]
    assert len(found) == 1, told(changed)
    assert command in found[0][2]
    assert report(changed, INVENTORY).exit_status == status


def test_transfer_and_what_waits_are_notes_and_not_wrong() -> None:
    moved = but_status(system(), "lb-1", holds_vrrp_address=False, handed_over=True)
    moved = but_status(moved, "lb-2", holds_vrrp_address=True)
    at_lb_2 = moved.cluster.stack.virtual_address
    place = replace(at_lb_2.objects[0], holder=moved.nodes[1].node.interface_id)
    stack = replace(
        moved.cluster.stack, virtual_address=replace(at_lb_2, objects=(place,))
    )
    found = replace(moved, cluster=replace(moved.cluster, stack=stack))
    ((kind, text, do),) = told(found)
    assert kind == "note"
    assert text.startswith("lb-1 has handed the address over on purpose")
    assert do == f"pyinfra {INVENTORY} deploys/transfer.py --data transfer_to=lb-1"
    assert report(found, INVENTORY).exit_status == 0


def test_nothing_deployed_is_one_finding_and_not_twenty() -> None:
    new = system()
    for seen in new.nodes:
        is_balancer = seen.balancer is not None
        new = but(
            new,
            seen.node.name,
            deployed=None,
            traffic=Traffic(),
            balancer=LoadBalancerStatus() if is_balancer else None,
            application=None if is_balancer else ApplicationStatus(),
        )
    ((kind, text, do),) = told(new)
    assert (kind, do) == ("wrong", f"pyinfra {INVENTORY} deploys/site.py")
    assert text == "nothing has been deployed to lb-1, lb-2, app-1, app-2 yet"
    assert {node.state for node in report(new, INVENTORY).nodes} == {"new"}


def test_application_and_load_balancers_are_mended_by_one_run_in_that_order() -> None:
    stopped = but(system(), "app-2", application=ApplicationStatus("failed"))
    stopped = but(stopped, "lb-2", traffic=Traffic())
    commands = {do for _, _, do in told(stopped)}
    assert commands == {f"pyinfra {INVENTORY} deploys/site.py"}


def test_client_whose_port_no_healthy_node_listens_on_is_served_by_nobody() -> None:
    deaf = ApplicationStatus("active", "1.0.0", frozenset({9002}))
    found = system()
    for name in ("app-1", "app-2"):
        found = but(found, name, application=deaf)
    (client,) = report(found, INVENTORY).clients
    assert client.state == "nobody serves it"
    assert "app-1: nothing listens on its port 9001" in client.problem
    assert any(t[1].startswith("nobody serves one (9001)") for t in told(found))


def test_node_that_is_silent_is_taken_for_what_haproxy_says_of_it() -> None:
    silent = but(system(), "app-1", problem="does not answer", application=None)
    (client,) = report(silent, INVENTORY).clients
    assert client.nodes == ("app-1", "app-2"), "HAProxy finds it healthy"
    silent = but_status(silent, "lb-1", down=(DOWN,))
    (client,) = report(silent, INVENTORY).clients
    assert client.nodes == ("app-2",)


def test_clients_are_judged_where_they_arrive() -> None:
    down = tuple(replace(DOWN, name=name) for name in ("app-1", "app-2"))
    standby = but_status(system(), "lb-2", down=down)
    (client,) = report(standby, INVENTORY).clients
    assert client.state == "served"
    (client,) = report(but_status(system(), "lb-1", down=down), INVENTORY).clients
    assert client.state == "nobody serves it"


def test_client_is_not_known_while_its_load_balancer_is_silent() -> None:
    silent = but(system(), "lb-1", problem="does not answer", balancer=None)
    (client,) = report(silent, INVENTORY).clients
    assert client.state == "not known"


def test_streams_of_older_processes_are_counted_and_told() -> None:
    traffic = Traffic(
        runs=True,
        answers=True,
        clients=(
            ClientTraffic("one", 0, 2, 9, 1, "OPEN"),
            ClientTraffic("one", 77, 3, 9, 1, "STOP"),
        ),
        older=(OldWorker(77, "0d01h00m00s", 3),),
    )
    found = but(system(), "lb-1", traffic=traffic)
    (client,) = report(found, INVENTORY).clients
    assert (client.connections, client.older) == (5, 3)
    ((kind, text, do),) = told(found)
    assert kind == "note"
    assert text.startswith("lb-1: 3 streams in 1 older HAProxy process, the oldest")
    assert do == "ssh 10.60.0.5 sudo kill 77"


def test_without_aws_the_address_is_where_the_nodes_saw_it() -> None:
    blind = replace(system(), aws_problem="no answer", aws_read_at=NOW)
    assert blind.holder == "lb-1"
    torn = but_status(blind, "lb-2", seen_holder="lb-2")
    assert torn.holder == "", "they do not agree"


def test_nodes_are_where_people_look_for_them_whichever_is_oldest() -> None:
    plain = system().cluster.stack
    names = ("app-10", "app-2", "app-1")
    nodes = tuple(
        samples.node(name, Role.APPLICATION, n) for n, name in enumerate(names, 10)
    )
    asked = SimpleNamespace(
        cluster=system().cluster,
        stack=replace(plain, nodes=(*nodes, *plain.nodes[:2])),
        aws_problem="",
        stack_read_at=None,
    )
    silent = {node.name: PortwayError("does not answer") for node in asked.stack.nodes}
    found = seen_by(cast("Nodes", asked), silent)
    order = [seen.node.name for seen in found.nodes]
    assert order == ["app-1", "app-2", "app-10", "lb-1", "lb-2"]
