"""Application nodes deploy to themselves, one at a time, while messages flow."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.faults import interface as faults
from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from portway.contract import paths
from tests.lab.deploys.agents import (
    PORTS,
    UNIT,
    Timers,
    agents,
    built,
    calls_from,
    first_boot,
    healed,
    name_of,
    original,
    timers,
    with_settings,
)
from tests.lab.deploys.membership import RESIZE, lose, resize
from tests.lab.deploys.test_application import (
    LOCKED,
    ROTATE,
    answer_to,
    end_dead_sessions,
    login_on,
    stored,
    version,
    versions,
)
from tests.lab.system import Result, System, output, shown, stream, wait_until

__all__ = ["agents", "built", "first_boot", "healed", "original", "timers"]

pytestmark = pytest.mark.long

NODES = ("app-1", "app-2")
FAULTS = "/etc/message-app/faults.json"
SOCKETS = "ss -Htn state established '( sport >= :9001 and sport <= :9003 )'"
LEAVING = """
import boto3
found = boto3.client("autoscaling").describe_auto_scaling_instances()
for one in found["AutoScalingInstances"]:
    if one["LifecycleState"] == "Terminating:Wait":
        print(one["InstanceId"])
"""
ADDED = {"client_name": "added", "client_port": 9050}
OLD, NEW, BROKEN = "1.0.0", "2.0.0", "2.0.1"
TURN = """
import boto3, json
cloud = boto3.client("cloudformation")
(bucket,) = (
    o["OutputValue"]
    for s in cloud.describe_stacks()["Stacks"] for o in s.get("Outputs", ())
    if o["OutputKey"] == "ReleaseBucket")
body = boto3.client("s3").get_object(Bucket=bucket, Key="turns/1")["Body"]
print(body.read().decode())
"""


def turn(system: System) -> dict[str, Any]:
    """What the turn of the application nodes says."""
    found: dict[str, Any] = json.loads(system.python(TURN))
    return found


def is_used(system: System, node: str) -> bool:
    """Whether both load balancers send clients to a node."""
    address = system.nodes()[node]["address"]
    states = {
        (lb, *row[5:7])
        for lb in ("lb-1", "lb-2")
        for row in system.servers(lb)
        if row[4] == address
    }
    return states == {("lb-1", "2", "0"), ("lb-2", "2", "0")}


def test_timers_have_the_application_nodes_up_to_date(timers: Timers) -> None:
    for node in NODES:
        has_served = partial(timers.has_served, node, name_of(timers.good))
        wait_until(has_served, 120, f"a run on {node}")
        again = timers.agent(node, "status")
        assert again.returncode == 0, shown(again)
        assert f"{node}  no changes" in timers.turn(node)
    looks = ["GetParameter", "DescribeInstances", "DescribeSecret"]

    def is_idle(node: str) -> bool:
        since = time.time()
        timers.look(node)
        return calls_from(timers.system, node, since) == looks

    for node in NODES:  # once the load balancers tell nothing new
        wait_until(partial(is_idle, node), 120, "a look that finds nothing")
        print(f"{node}: a look that found nothing took {timers.seconds(node):.3f} s")
        assert timers.seconds(node) < 0.3, "a tenth where nothing else runs"


def test_new_version_is_on_one_node_after_the_other(
    timers: Timers, tmp_path: Path
) -> None:
    """Nobody does anything: each waits for its turn, and takes itself out.

    The release has a client more, too.
    """
    system, settings = timers.system, f'app_version = "{NEW}"\n'
    new = with_settings(timers.good, "new", settings, tmp_path, client=ADDED)
    with Load.start(Lab(system.name), system.address, PORTS, 20, pause=0.3) as load:
        load.wait_until_served()
        timers.publish(new)
        for node in NODES:
            has_served = partial(timers.has_served, node, name_of(new))
            wait_until(has_served, 240, f"the new version on {node}")
        for node in ("lb-1", "lb-2"):
            has_served = partial(timers.has_served, node, name_of(new))
            wait_until(has_served, 180, f"the new client on {node}")
        assert system.answering_nodes(9050, 8) == set(NODES)
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    kept = stored(system)
    assert {kept[i] for i in report.acknowledged} == {OLD, NEW}
    assert versions(system) == dict.fromkeys(NODES, NEW)
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    for client in report.clients:
        assert client.longest_refusal == 0
    assert turn(system)["is_over"]
    for node in NODES:
        assert is_used(system, node)
        assert "portway" not in system.execute(node, "nft", "list", "tables")


def test_version_that_does_not_start_is_tried_on_one_node_only(
    timers: Timers, tmp_path: Path
) -> None:
    system = timers.system
    before = versions(system)
    served = {node: timers.status(node)["served"] for node in NODES}
    settings = f'app_version = "{BROKEN}"\napp_start_timeout = 8\n'
    bad = with_settings(timers.good, "broken", settings, tmp_path)

    def refusal(node: str) -> str:
        return str((timers.status(node)["refusal"] or {}).get("why", ""))

    def is_told() -> bool:
        return any("did not serve with it" in refusal(node) for node in NODES)

    with Load.start(Lab(system.name), system.address, PORTS, 20, pause=0.3) as load:
        load.wait_until_served()
        timers.publish(bad)
        wait_until(is_told, 240, "a node that has gone back")
        (first,) = (node for node in NODES if refusal(node))
        (second,) = set(NODES) - {first}
        said = timers.turn(second)
        assert "did not serve with the same" in said, said
        wait_until(lambda: is_used(system, first), 60, f"clients on {first}")
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert versions(system) == before
    assert timers.status(first)["served"] == served[first]
    assert timers.agent(first, "status").returncode == 2
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5

    timers.publish(timers.good)
    for node in NODES:
        timers.turn(node)
        assert timers.agent(node, "status").returncode == 0
        assert version(system, node) == OLD


def test_run_that_is_killed_in_its_turn_is_gone_on_with(
    timers: Timers, tmp_path: Path
) -> None:
    """It has taken its node out of service, and waits for a stream to end."""
    system = timers.system
    settings = f'app_version = "{NEW}"\n'
    patient = f"{settings}drain_timeout = 60\n"
    patient_new = with_settings(timers.good, "patient-new", patient, tmp_path)
    new = with_settings(timers.good, "new", settings, tmp_path)

    def out() -> list[str]:
        look = f"test -e {paths.OUT_OF_SERVICE}"
        return [n for n in NODES if not system.node(n, look, False).returncode]

    with Load.start(Lab(system.name), system.address, PORTS, 6, pause=0.3) as load:
        load.wait_until_served()
        # One through each node.
        with stream(system, 9001) as one, stream(system, 9001) as other:
            timers.publish(patient_new)
            wait_until(lambda: bool(out()), 90, "a node that is out of service")
            (node,) = out()
            wait_until(lambda: not is_used(system, node), 30, "nobody who uses it")
            system.node(node, f"systemctl kill --signal=KILL {UNIT}")
            assert out() == [node]
            (second,) = set(NODES) - {node}
            assert version(system, second) == OLD
            assert is_used(system, second)
            faults.aws(Lab(system.name), "down", source=node)
            assert "clients are let in again" in timers.turn(node)
            wait_until(partial(is_used, system, node), 60, f"clients on {node}")
            assert version(system, node) == OLD
            faults.heal_links(Lab(system.name))
            one()
            other()
        timers.publish(new)
        assert "Run release" in timers.turn(node)
        wait_until(lambda: is_used(system, node), 60, f"clients on {node}")
        for name in NODES:
            has_served = partial(timers.has_served, name, name_of(new))
            wait_until(has_served, 240, f"the new version on {name}")
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert versions(system) == dict.fromkeys(NODES, NEW)
    assert out() == []

    timers.publish(timers.good)
    for name in NODES:
        timers.turn(name)
        assert version(system, name) == OLD


@pytest.mark.parametrize("node", NODES)
def test_terminated_node_is_back_though_nobody_does_anything(
    timers: Timers, first_boot: System, node: str
) -> None:
    system = first_boot

    def is_whole() -> bool:
        return timers.has_served(node, name_of(timers.good)) and is_used(system, node)

    with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
        load.wait_until_served()
        began = time.monotonic()
        lose(system, node, deploys_to_itself=True)
        left = 180 - (time.monotonic() - began)
        wait_until(is_whole, left, "a node that serves, within three minutes")
        print(f"{node}: whole {time.monotonic() - began:.0f} s after it was terminated")
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    found = json.loads(system.drift("--no-template", what="app").stdout)
    assert found["findings"] == [], found


def test_rotated_password_is_taken_by_the_nodes(timers: Timers) -> None:
    """Who rotates it has the database take it; the nodes see it in AWS."""
    system, before = timers.system, login_on(timers.system, "app-1")
    end_dead_sessions(system)

    def uses_another(node: str) -> bool:
        return login_on(system, node) != before

    for node in NODES:
        timers.turn(node)  # so that none is due but by a look
        assert timers.status(node)["failures"] == 0
    with Load.start(Lab(system.name), system.address, PORTS, 20, pause=0.3) as load:
        load.wait_until_served()
        old = json.loads(system.python(ROTATE))["password"]
        system.deploy("-y", "--data", "lease_wait=120", what="db")
        for node in NODES:
            wait_until(partial(uses_another, node), 240, f"the other login on {node}")
            wait_until(partial(is_used, system, node), 60, f"clients on {node}")
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    for client in report.clients:
        assert client.longest_refusal == 0
    done = output(system.deploy("-y", "--data", "lease_wait=120", what="db"))
    assert answer_to(system, before, old) in LOCKED, done


def has_clients(system: System, node: str) -> bool:
    """Whether a node has streams of clients."""
    return bool(system.node(node, SOCKETS).stdout)


def asking(system: System, number: int) -> AbstractContextManager[Result]:
    """A client that sends one message and waits; what became of it, at the end."""
    words = (sys.executable, "-m", "lab.traffic.messages", "ask", "--wait", "60")
    port = str(PORTS[number % 2])  # not the one whose messages are in order
    return system.started("client", "--", *words, system.address, port)


def leaving(system: System) -> set[str]:
    """The nodes that their group is about to terminate, and waits for."""
    ids = set(system.python(LEAVING).split())
    nodes = system.nodes().items()
    return {name for name, node in nodes if node["instance_id"] in ids}


def test_node_that_reboots_answers_what_it_has_begun(timers: Timers) -> None:
    """Whoever has it reboot: its unit lets the streams end before the others stop."""
    system, (node, other) = timers.system, NODES
    system.node(node, f"echo '{{\"before_ack\": 4}}' >{FAULTS}")
    with ExitStack() as stack:
        clients = [stack.enter_context(asking(system, number)) for number in range(6)]
        wait_until(partial(has_clients, system, node), 15, f"clients on {node}")
        faults.reboot(Lab(system.name), node)
    for client in clients:
        assert client.returncode == 0, shown(client)
    assert node in {output(client).split()[0] for client in clients}
    assert is_used(system, other)
    wait_until(partial(is_used, system, node), 60, f"clients on {node} again")
    system.node(node, f"rm {FAULTS}")


def test_node_that_ec2_takes_back_answers_what_it_has_begun(timers: Timers) -> None:
    system, (other, node) = timers.system, NODES
    system.node(node, f"echo '{{\"before_ack\": 8}}' >{FAULTS}")
    with ExitStack() as stack:
        clients = [stack.enter_context(asking(system, number)) for number in range(6)]
        wait_until(partial(has_clients, system, node), 15, f"clients on {node}")
        faults.imds(Lab(system.name), "spot", source=node)
        said = timers.look(node)
        assert "AWS is about to take this node away" in said
        assert "streams left" in said
        assert "may be terminated" not in said, "nobody waits for it"
    for client in clients:
        assert client.returncode == 0, shown(client)
    assert node in {output(client).split()[0] for client in clients}
    assert is_used(system, other)
    assert not is_used(system, node)
    assert "AWS is about" in timers.look(node), "as long as the notice stands"
    assert not is_used(system, node)
    faults.heal_aws(Lab(system.name))  # it stays after all
    system.node(node, f"rm {FAULTS}")
    wait_until(partial(is_used, system, node), 150, f"clients on {node} again")


def test_nodes_that_leave_answer_what_they_have_begun(
    timers: Timers, first_boot: System, tmp_path: Path
) -> None:
    """Their group shrinks from four to two, and every message takes half a minute."""
    system = first_boot
    patient = with_settings(timers.good, "patient", "drain_timeout = 60\n", tmp_path)
    timers.publish(patient)
    resize(system, "app", 4, deploys_to_itself=True)
    nodes = sorted(system.addresses("application"))
    assert len(nodes) == 4
    for node in nodes:
        has_served = partial(timers.has_served, node, name_of(patient))
        wait_until(has_served, 180, f"a run on {node}")
        wait_until(partial(is_used, system, node), 120, f"clients on {node}")

    for node in nodes:
        system.node(node, f"echo '{{\"before_ack\": 30}}' >{FAULTS}")
    with ExitStack() as stack:
        clients = [stack.enter_context(asking(system, number)) for number in range(12)]
        for node in nodes:
            wait_until(partial(has_clients, system, node), 15, f"clients on {node}")
            timers.stop(node)  # it would leave at once, and nobody could read how
        system.python(RESIZE, "app", "2")
        going = leaving(system)
        assert len(going) == 2
        with ThreadPoolExecutor() as pool:
            for node, said in zip(nodes, pool.map(timers.look, nodes), strict=True):
                assert ("may be terminated" in said) is (node in going), said
                assert ("streams left" in said) is (node in going), said
    for client in clients:
        assert client.returncode == 0, shown(client)
    left = set(nodes) - going

    def have_left() -> bool:
        system.up()
        return set(system.addresses("application")) == left

    wait_until(have_left, 30, "two nodes are left")

    timers.publish(timers.good)
    for node in system.addresses("application"):
        system.node(node, f"rm {FAULTS}")
        timers.turn(node)
