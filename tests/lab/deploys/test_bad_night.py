"""Half of it is down, and somebody must act: runs do what can be done, and say so."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.faults import interface as faults
from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from tests.lab.deploys.membership import join, leave, lose, resize, slots
from tests.lab.deploys.test_application import drained_on, stored, version, versions
from tests.lab.itself.test_ground import UNTAG
from tests.lab.system import (
    PYINFRA,
    Result,
    System,
    changes,
    output,
    stream,
    wait_until,
)

NEWER = ("-y", "--data", "app_version=2.0.0")
BOOTED = ("--data", "boot_timeout=0")
"""In the lab every node has been started lately."""
ALLOWANCE = 60
"""Seconds that a node which is down may add to a run."""


class Usual:
    """The lab, and what a run takes while everything is up: two rolls and a check."""

    def __init__(self, system: System) -> None:
        self.system = system
        began = time.monotonic()
        system.deploy(*NEWER, what="app")
        system.deploy(what="site")
        self.seconds = (time.monotonic() - began) / 2

    def without(self, *nodes: str, given: tuple[str, ...] = (), what: str) -> str:
        """What a run says that does without some nodes."""
        began = time.monotonic()
        options = (*(given or ("-y",)), *BOOTED)
        result = self.system.deploy(*options, what=what, check=False)
        took = time.monotonic() - began
        text = output(result)
        assert result.returncode == 1, text
        for node in nodes:
            told = rf"{node} \(i-\w+\) does not answer: this run does what can be done"
            assert re.search(told, text), text
        assert "deploy failed" not in text
        assert "verification failed" not in text
        # Tests beside it may make a run take longer than it did when it was measured.
        assert took < 2 * self.seconds + ALLOWANCE, (took, self.seconds)
        return text


@pytest.fixture(scope="module")
def measured(site: System) -> Iterator[Usual]:
    yield Usual(site)
    assert changes(site.deploy(what="site")) == 0


@pytest.fixture
def usual(measured: Usual) -> Iterator[Usual]:
    """The lab; every fault of the test is healed, and it is as before afterwards."""
    yield measured
    site = measured.system
    faults.heal(Lab(site.name))
    settled = site.deploy(what="site")
    assert "does not answer" not in output(settled)
    wait_until(lambda: site.masters() == ["lb-1"], 30, "lb-1 is master again")


def test_new_pair_is_not_deployed_by_half_unless_somebody_insists(lab: System) -> None:
    faults.power_off(Lab(lab.name), "lb-1")
    refused = lab.deploy("-y", *BOOTED, check=False)
    assert refused.returncode == 1
    told = "never ran here, and lb-1 does not answer: nobody would know whether they"
    assert told in output(refused)
    lab.node("lb-2", "test ! -e /etc/keepalived/keepalived.conf")

    # No application runs: it fails in the end, for want of a healthy node.
    insisted = ("-y", "--limit", "lb-2", *BOOTED, "--data", "verify_timeout=25")
    text = output(lab.deploy(*insisted, check=False))
    assert "never ran here" not in text
    assert "no load balancer finds a healthy server" in text
    wait_until(lambda: lab.holder == "lb-2", 20, "the address at lb-2")


def test_terminated_node_is_replaced_under_its_name(
    usual: Usual, clients_file: Path
) -> None:
    """No client is edited, and the other node is called as before."""
    system = usual.system
    entries = [
        {"client_name": "all", "client_port": 9001},
        {"client_name": "pinned", "client_port": 9002, "nodes": ["app-1"]},
    ]
    clients_file.write_text(json.dumps({"clients": entries}))
    given = ("-y", "--data", f"clients_file={clients_file}")
    system.deploy(*given, what="site")
    before = slots(system)
    assert sorted(before.values()) == ["app 1", "app 2"]
    (lost,) = (i for i, name in before.items() if name == "app 1")

    with Load.start(Lab(system.name), system.address, (9001, 9002), 6) as load:
        load.wait_until_served()
        lose(system, "app-1")
        system.deploy(*given, what="site")
        load.wait_until_served(time.time())
        report = load.stop()

    assert missing(Lab(system.name), report) == set()
    after = slots(system)
    (new,) = after.keys() - before.keys()
    assert {**before, new: before[lost]} == {**after, lost: "app 1"}
    assert changes(system.deploy(*given, what="site")) == 0


def test_node_that_is_gone_concerns_the_clients_that_are_pinned_to_it(
    usual: Usual, clients_file: Path
) -> None:
    """The run does all the rest, to its last step, and fails with their names."""
    system = usual.system
    entries = [
        {"client_name": "all", "client_port": 9001},
        {"client_name": "either", "client_port": 9002, "nodes": ["app-2", "app-1"]},
        {"client_name": "pinned", "client_port": 9003, "nodes": ["app-2"]},
        {"client_name": "ending", "client_port": 9006},
    ]
    clients_file.write_text(json.dumps({"clients": entries}))
    given = ("-y", "--data", f"clients_file={clients_file}")
    system.deploy(*given, what="site")
    assert system.ask(9003).startswith("app-2 ")
    member = leave(system, system.addresses("application")["app-2"])
    try:
        entries[3] = {"client_name": "new", "client_port": 9005}
        clients_file.write_text(json.dumps({"clients": entries}))
        result = system.deploy(*given, what="site", check=False)
        text = output(result)
        assert result.returncode == 1, text
        assert "either: there is no app-2 now; app-1 serves it" in text
        assert "no node for pinned: its nodes are app-2, and there is none" in text
        for port in (9001, 9002, 9005):
            assert system.ask(port).startswith("app-1 ")
        assert system.ask(9003) == ""
        for node in ("lb-1", "lb-2"):
            disk, loaded = system.loaded(node)
            assert disk == loaded
        open_ports = system.node("app-1", "ss -Hltn").stdout
        assert ":9005 " in open_ports
        assert ":9006 " not in open_ports, "the last step of the run"
    finally:
        join(system, member)


def test_name_that_aws_does_not_take_is_nobodys(
    usual: Usual, clients_file: Path
) -> None:
    """A client that names the node is refused, and not left without one."""
    system = usual.system
    before = slots(system)
    (node,) = (id_ for id_, name in before.items() if name == "app 1")
    pinned = [{"client_name": "pinned", "client_port": 9003, "nodes": ["app-1"]}]
    clients_file.write_text(json.dumps({"clients": pinned}))
    given = ("-y", "--data", f"clients_file={clients_file}")
    system.python(UNTAG, node)
    faults.aws(Lab(system.name), "deny", actions=("CreateTags",))
    files = system.file_states()
    refused = system.deploy(*given, check=False)
    assert refused.returncode != 0
    told = f'no application node "app-1"; there are app-2, app-{node}; where a name'
    assert told in output(refused)
    assert system.file_states() == files
    assert slots(system)[node] == "app ?"

    faults.heal(Lab(system.name))
    system.deploy()
    assert slots(system) == before


def test_standby_without_power_stops_neither_a_roll_nor_its_peer(usual: Usual) -> None:
    system, setting = usual.system, ("--data", "hard_stop_after=500")
    faults.power_off(Lab(system.name), "lb-2")
    with stream(system, 9003) as last:
        last()
        text = usual.without("lb-2", given=NEWER, what="app")
    assert set(versions(system).values()) == {"2.0.0"}
    assert "lb-2 does not hold the address and cannot be asked" in text
    one = system.deploy("-y", "--limit", "app-2", *BOOTED, what="app")
    assert "lb-2 does not hold the address and cannot be asked" in output(one)
    assert versions(system) == {"app-1": "2.0.0", "app-2": "1.0.0"}
    usual.without("lb-2", what="lb")

    before = system.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout
    refused = output(system.deploy("-y", *setting, *BOOTED, what="lb", check=False))
    assert "its standby, does not answer: nobody would know whether" in refused
    assert system.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout == before
    sure = ("-y", "--limit", "lb-1", *setting, *BOOTED)
    assert "though its standby is not" in output(system.deploy(*sure))
    disk, loaded = system.loaded("lb-1")
    assert disk == loaded
    config = system.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout
    assert "hard-stop-after 500s" in config


def test_terminated_standby_stops_only_what_is_the_pair_s(usual: Usual) -> None:
    """Its zone has no capacity: the group launches no other for now."""
    system = usual.system
    setting = ("-y", "--data", "hard_stop_after=500")
    pair = "sha256sum /etc/keepalived/keepalived.conf /etc/portway/address.json"
    kept = system.node("lb-1", pair).stdout
    resize(system, "lb-2", 0)
    assert "lb-2" not in system.nodes()
    try:
        system.deploy(*NEWER, what="app")
        assert set(versions(system).values()) == {"2.0.0"}
        changed = system.deploy(*setting, check=False)
        assert changed.returncode == 1
        assert "lb-1 is the only load balancer: nothing takes" in output(changed)
        assert "verification failed" not in output(changed)
        disk, loaded = system.loaded("lb-1")
        assert disk == loaded
        config = system.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout
        assert "hard-stop-after 500s" in config
        assert system.node("lb-1", pair).stdout == kept
        assert changes(system.deploy(*setting, check=False)) == 0
        target = ("-y", "--data", "transfer_to=lb-2")
        refused = system.deploy(*target, what="transfer", check=False)
        assert "there is no load balancer but lb-1 to hand" in output(refused)
        assert system.holder == "lb-1"
    finally:
        resize(system, "lb-2", 1)


def test_holder_without_power_leaves_its_peer_to_work_with(usual: Usual) -> None:
    system = usual.system
    faults.power_off(Lab(system.name), "lb-1")
    wait_until(lambda: system.holder == "lb-2", 20, "the address at lb-2")
    target = ("--data", "transfer_to=lb-2")
    result = system.deploy("-y", *target, *BOOTED, what="transfer", check=False)
    assert result.returncode == 1
    assert "does what can be done" not in output(result), "it is about both"
    usual.without("lb-1", given=NEWER, what="app")
    assert set(versions(system).values()) == {"2.0.0"}
    usual.without("lb-1", what="site")  # it rolls back
    assert set(versions(system).values()) == {"1.0.0"}
    assert system.ask(9001) != ""


def test_zone_that_is_gone_leaves_the_other_to_work_with(usual: Usual) -> None:
    """The holder and an application node at once: all four deploys."""
    system, lab = usual.system, Lab(usual.system.name)
    faults.power_off(lab, "lb-1")
    faults.power_off(lab, "app-1")
    wait_until(lambda: system.holder == "lb-2", 20, "the address at lb-2")
    wait_until(lambda: system.answering_nodes(9001, 4) == {"app-2"}, 30, "only app-2")
    usual.without("lb-1", what="lb")
    config = system.node("lb-2", "cat /etc/haproxy/haproxy.cfg").stdout
    sure = ("-y", "--limit", "lb-2", "--data", "hard_stop_after=500", *BOOTED)
    assert "though its standby is not" in output(system.deploy(*sure, check=False))
    assert system.node("lb-2", "cat /etc/haproxy/haproxy.cfg").stdout != config

    # A roll would leave nobody to serve: one that is sure names the node.
    refused = output(system.deploy(*NEWER, *BOOTED, what="app", check=False))
    assert "app-2 is the only application node that serves" in refused
    assert version(system, "app-2") == "1.0.0"
    began = time.monotonic()
    system.deploy(*NEWER, "--limit", "app-2", *BOOTED, what="app")
    assert version(system, "app-2") == "2.0.0"
    system.deploy("-y", "--limit", "app-2", *BOOTED, what="app")
    assert version(system, "app-2") == "1.0.0"
    assert time.monotonic() - began < 2 * (2 * usual.seconds + ALLOWANCE)

    target = ("-y", "--data", "transfer_to=lb-1", *BOOTED)
    began = time.monotonic()
    moved = system.deploy(*target, what="transfer", check=False)
    assert moved.returncode == 1
    assert "lb-1" in output(moved)
    assert time.monotonic() - began < ALLOWANCE
    assert system.holder == "lb-2"

    usual.without("app-1", "lb-1", what="site")
    assert system.ask(9001).startswith("app-2 ")


def test_lost_load_balancer_that_takes_the_address_is_not_passed_over(
    usual: Usual,
) -> None:
    """It comes back in the middle of a run, which could not connect to it before."""
    system = usual.system
    system.node("lb-2", "systemctl stop ssh.socket ssh")
    slow = (*NEWER, *BOOTED, "--data", "drain_timeout=60")
    words = (PYINFRA, "inventories/lab.py", "deploys/app.py", *slow)
    try:
        with (
            stream(system, 9001),
            stream(system, 9001),
            system.started("run", "--", *words) as run,
        ):
            wait_until(lambda: bool(drained_on(system, "lb-1")), 60, "a drained node")
            system.node("lb-1", "systemctl stop keepalived")
    finally:
        system.node("lb-1", "systemctl start keepalived")
        system.node("lb-2", "systemctl start ssh")
    assert run.returncode == 1, output(run)
    assert "lb-2 may be sending clients to an application node" in output(run)
    assert set(versions(system).values()) == {"1.0.0"}


def test_holder_that_serves_and_cannot_be_asked_keeps_nodes_in_service(
    usual: Usual,
) -> None:
    system = usual.system
    system.node("lb-1", "systemctl stop ssh.socket ssh")
    try:
        with stream(system, 9001) as last:
            refused = system.deploy(*NEWER, *BOOTED, what="app", check=False)
            last()
    finally:
        system.node("lb-1", "systemctl start ssh")
    assert refused.returncode == 1
    assert "lb-1 may be sending clients to an application node" in output(refused)
    assert set(versions(system).values()) == {"1.0.0"}


def test_last_node_that_serves_is_left_alone_unless_somebody_insists(
    usual: Usual,
) -> None:
    system = usual.system
    lab = Lab(system.name)
    faults.freeze(lab, "app-2")
    wait_until(lambda: system.answering_nodes(9001, 4) == {"app-1"}, 30, "only app-1")
    usual.without("app-2", what="app")  # nothing is to be done
    refused = output(system.deploy(*NEWER, *BOOTED, what="app", check=False))
    assert "app-1 is the only application node that serves, and app-2 can" in refused
    assert system.ask(9001).startswith("app-1 ")
    system.deploy(*NEWER, "--limit", "app-1", *BOOTED, what="app")
    faults.thaw(lab, "app-2")
    assert versions(system) == {"app-1": "2.0.0", "app-2": "1.0.0"}


STOP = """
import boto3
rds = boto3.client("rds")
(found,) = rds.describe_db_instances()["DBInstances"]
rds.{verb}_db_instance(DBInstanceIdentifier=found["DBInstanceIdentifier"])
"""


def test_stopped_database_stops_only_what_talks_to_it(usual: Usual) -> None:
    system = usual.system
    before = stored(system)
    system.python(STOP.format(verb="stop"))
    try:
        assert changes(system.deploy()) == 0
        rolled = system.deploy(*NEWER, what="app")
        assert "is stopped; going on" in output(rolled)
        assert set(versions(system).values()) == {"2.0.0"}
        refused: Result = system.deploy(what="site", check=False)
        assert refused.returncode != 0
        assert re.search(r"its database \S+ is stopped", output(refused))
    finally:
        system.python(STOP.format(verb="start"))
    assert before.items() <= stored(system).items()
