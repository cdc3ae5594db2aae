"""``portway drift`` finds what a run would change, and nothing once it has.

Many things are changed by hand at once, each where it disturbs no other; one look finds
them, one run mends them, and a second look finds nothing.
"""

import json
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab.faults import interface as faults
from lab.plan.names import Lab
from portway.cli.drift.report import schema
from portway.contract.paths import STATUS
from tests.lab.deploys.drifts import DRIFTS, MENDED, make
from tests.lab.deploys.membership import join, leave
from tests.lab.system import Result, System, changes, output, stream, wait_until

INVENTORY = "inventories/lab.py"
SCHEMA = json.loads(schema())
Found = list[dict[str, Any]]


def read(result: Result) -> dict[str, Any]:
    """The JSON that a look printed, which is as its schema says."""
    found: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


@dataclass(frozen=True)
class Looked:
    """What two looks found: after the changes by hand, and after a run."""

    system: System
    first: Result
    repaired: Result
    second: Result
    holder: str
    standby: str

    @property
    def found(self) -> Found:
        findings: Found = read(self.first)["findings"]
        return findings


REFUSED = """
systemctl restart portway-address
for _ in $(seq 100); do
    grep -q '"refused": "{}' {} && exit
    sleep 0.1
done
exit 1
"""


@contextmanager
def changed_in_aws(system: System, node: str) -> Iterator[None]:
    """Everything in AWS is changed by hand, and a node has tried its rights."""
    drifts = [drift for drift in DRIFTS.values() if drift.where == "aws"]
    system.python("\n".join(drift.by_hand for drift in drifts))
    system.node(node, REFUSED.format('[^"]', STATUS))
    yield
    system.python("\n".join(drift.undo for drift in drifts))
    system.node(node, REFUSED.format('"', STATUS))


@pytest.fixture(scope="module")
def looked(site: System) -> Looked:
    """Everything is changed by hand, looked at, mended by a run, and looked at."""
    holder, standby = site.holder, site.standby
    for drift in MENDED.values():
        make(site, drift)
    with changed_in_aws(site, standby):
        first = site.drift()
    repaired = site.deploy(what="site")
    return Looked(site, first, repaired, site.drift(), holder, standby)


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_is_found_with_its_node_its_words_and_who_moved(
    looked: Looked, name: str
) -> None:
    drift = DRIFTS[name]
    where = {"holder": looked.holder, "standby": looked.standby}.get(drift.where)
    node = (where or drift.where) if drift.node is None else drift.node
    thing = drift.thing.replace("$ADDRESS", looked.system.address)
    matching = [
        finding
        for finding in looked.found
        if (finding["node"], finding["kind"]) == (node, drift.kind)
        and finding["thing"].partition(" (")[0] == thing
        and drift.words in finding["what"]
    ]
    assert len(matching) == 1, json.dumps(looked.found, indent=1)
    (finding,) = matching
    assert finding["moved"] == "world"
    assert finding["mended_by_a_run"] is not bool(drift.undo)
    assert any(drift.diff in line for line in finding["diff"]) or not drift.diff
    assert (finding["since"] is not None) or not drift.dated


def test_look_with_drift_ends_with_2_and_one_after_a_run_with_0(
    looked: Looked,
) -> None:
    assert looked.first.returncode == 2, output(looked.first)
    assert read(looked.first)["unknown"] == []
    assert changes(looked.repaired) > 0
    assert read(looked.second)["findings"] == [], output(looked.second)
    assert looked.second.returncode == 0, output(looked.second)


def test_look_without_the_template_does_not_ask_cloudformation(
    looked: Looked,
) -> None:
    began = time.time()
    result = looked.system.drift("--no-template", what="lb")
    assert result.returncode == 0, output(result)
    (state,) = read(result)["states"]
    assert state["text"].endswith("were not compared with the template")
    asked = {call.action for call in faults.calls(Lab(looked.system.name), began)}
    assert "DescribeInstances" in asked
    assert "DetectStackDrift" not in asked


def test_look_shows_no_secret(looked: Looked) -> None:
    config = looked.system.node("app-1", "cat /etc/message-app/message-app.conf").stdout
    (password,) = (
        line.partition("=")[2].strip()
        for line in config.splitlines()
        if line.startswith("password")
    )
    assert password
    assert password not in output(looked.first)


@pytest.fixture(scope="module")
def wished(looked: Looked, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A look by somebody who has one more client, and an SQL file that is another."""
    path = tmp_path_factory.mktemp("wished")
    clients = json.loads(Path("group_data/clients/lab.json").read_text())
    clients["clients"].append({"client_name": "one_more", "client_port": 9777})
    (path / "clients.json").write_text(json.dumps(clients))
    shutil.copytree("lab/vendor/sql/postgres", path / "sql")
    first = min((path / "sql").glob("*.sql"))
    first.write_text(first.read_text() + "-- by hand\n")
    given = {"clients_file": path / "clients.json", "database_sql_dir": path / "sql"}
    words = (w for k, v in given.items() for w in ("--data", f"{k}={v}"))
    result = looked.system.drift(*words)
    assert result.returncode == 2, output(result)
    assert {finding["moved"] for finding in read(result)["findings"]} == {"you"}
    return result


def test_change_of_the_clients_is_yours(wished: Result) -> None:
    configs = [
        finding
        for finding in read(wished)["findings"]
        if finding["thing"] == "/etc/haproxy/haproxy.cfg"
    ]
    assert [finding["node"] for finding in configs] == ["lb-1", "lb-2"]
    assert any("9777" in line for line in configs[0]["diff"])


def test_applied_sql_file_that_was_changed_is_found(wished: Result) -> None:
    found = read(wished)["findings"]
    (finding,) = (one for one in found if one["kind"] == "SQL file")
    first = min(Path("lab/vendor/sql/postgres").glob("*.sql"))
    assert (finding["node"], finding["thing"]) == ("database", first.name)
    assert "was changed after it had been applied" in finding["what"]
    assert not finding["mended_by_a_run"]


MOVE = """
import boto3, sys
ec2 = boto3.client("ec2")
(address,) = ec2.describe_addresses()["Addresses"]
(interface,) = ec2.describe_network_interfaces(
    Filters=[{"Name": "private-ip-address", "Values": [sys.argv[1]]}]
)["NetworkInterfaces"]
ec2.associate_address(
    AllocationId=address["AllocationId"],
    NetworkInterfaceId=interface["NetworkInterfaceId"],
    AllowReassociation=True,
)
"""


def test_address_at_another_node_than_the_master_is_found(looked: Looked) -> None:
    system, mover = looked.system, "portway-address"
    system.node(looked.holder, f"systemctl stop {mover}")
    system.python(MOVE, system.addresses("load-balancer")[looked.standby])
    result = system.drift(what="lb")
    system.node(looked.holder, f"systemctl start {mover}")
    wait_until(lambda: system.holder == looked.holder, 20, "the address is back")
    assert result.returncode == 2, output(result)
    findings = read(result)["findings"]
    (finding,) = (f for f in findings if f["kind"] == "address")
    assert (finding["node"], finding["thing"]) == ("", system.address)
    said = f"points to {looked.standby}, but VRRP master is {looked.holder}"
    assert said in finding["what"]
    assert not finding["mended_by_a_run"]
    others = {(f["node"], f["thing"]) for f in findings if f is not finding}
    assert others == {(looked.holder, mover)}


LAUNCH = """
import boto3
group = boto3.client("autoscaling")
(found,) = (
    found for found in group.describe_auto_scaling_groups()["AutoScalingGroups"]
    if {"Name": "app"} in [{tag["Key"]: tag["Value"]} for tag in found["Tags"]])
group.update_auto_scaling_group(
    AutoScalingGroupName=found["AutoScalingGroupName"],
    MaxSize=found["MaxSize"] + 1, DesiredCapacity=found["DesiredCapacity"] + 1)
(after,) = group.describe_auto_scaling_groups(
    AutoScalingGroupNames=[found["AutoScalingGroupName"]])["AutoScalingGroups"]
before = {member["InstanceId"] for member in found["Instances"]}
(new,) = {member["InstanceId"] for member in after["Instances"]} - before
print(found["AutoScalingGroupName"], found["MaxSize"], new)
"""
TERMINATE = """
import boto3, sys
group = boto3.client("autoscaling")
name, size, instance = sys.argv[1:]
group.terminate_instance_in_auto_scaling_group(
    InstanceId=instance, ShouldDecrementDesiredCapacity=True)
group.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=int(size))
"""


def haproxy_servers(result: Result) -> set[str]:
    """The servers that both load balancers should have or should not, with a sign."""
    files = [
        finding
        for finding in read(result)["findings"]
        if finding["thing"] == "/etc/haproxy/haproxy.cfg"
    ]
    assert [f["node"] for f in files] == ["lb-1", "lb-2"], output(result)
    assert {f["moved"] for f in files} == {"world"}
    return {
        f"{line[0]}{line[1:].split()[1]}"
        for line in files[0]["diff"]
        if line[:1] in ("+", "-") and line[1:].split()[:1] == ["server"]
    }


def test_instance_that_haproxy_does_not_know_is_found(looked: Looked) -> None:
    system = looked.system
    launched = system.python(LAUNCH).split()
    try:
        result = system.drift(what="lb")
    finally:
        system.python(TERMINATE, *launched)
    assert haproxy_servers(result) == {"+app-3"}


def test_server_that_is_no_instance_any_more_is_found(looked: Looked) -> None:
    system = looked.system
    member = leave(system, system.addresses("application")["app-2"])
    try:
        result = system.drift(what="lb")
    finally:
        join(system, member)
    assert haproxy_servers(result) == {"-app-2"}


RELOADS = """
for _ in $(seq 199); do
    echo reload | socat -t 20 - UNIX-CONNECT:/run/haproxy-master.sock >/dev/null
done
"""


def test_more_older_workers_than_the_bound_are_found(looked: Looked) -> None:
    system = looked.system
    with stream(system, 9001) as last:
        last()
        system.node(looked.holder, RELOADS)
        result = system.drift(what="lb")
        last()
    assert result.returncode == 2, output(result)
    found = read(result)["findings"]
    (finding,) = (one for one in found if one["kind"] == "older workers")
    assert finding["node"] == looked.holder
    assert "reloads of 200" in finding["what"]
    assert not finding["mended_by_a_run"]


def test_what_is_dead_or_not_recognized_is_named_and_the_rest_is_told(
    looked: Looked, changed_host_key: None
) -> None:
    """A node is frozen, a host key is another one, the database is down.

    And CloudFormation may not be asked what was changed of what it made.
    """
    system, database = looked.system, "postgresql@17-main"
    stray = "/usr/local/lib/portway/stray"
    system.node(looked.holder, f"touch {stray}")
    system.call("fault", "freeze", "app-2")
    faults.aws(Lab(system.name), "deny", actions=("DetectStackDrift",))
    system.execute("db-1", "systemctl", "stop", database)
    began = time.monotonic()
    try:
        result = system.drift()
    finally:
        system.execute("db-1", "systemctl", "start", database)
        system.call("fault", "heal")
        system.node(looked.holder, f"rm {stray}")
    assert time.monotonic() - began < 60
    assert result.returncode == 1, output(result)
    found = read(result)
    unknown = {note["node"]: note["text"] for note in found["unknown"]}
    assert unknown.keys() == {"app-1", "app-2", looked.standby, ""}
    assert "may not call cloudformation:DetectStackDrift" in unknown[""]
    assert "does not reach the database" in unknown["app-1"]
    findings = {(f["node"], f["kind"], f["thing"]) for f in found["findings"]}
    assert (looked.holder, "file", stray) in findings
    assert (looked.standby, "host key", "") in findings


@pytest.fixture
def changed_host_key(looked: Looked) -> Iterator[None]:
    """The operator has another key on record than the standby shows."""
    path = Path(looked.system.status()["home"]) / ".ssh" / "known_hosts"
    before = path.read_text()
    lines = [line.split(" ") for line in before.splitlines()]
    other = next(words for words in lines if looked.holder in words[0])
    changed = [
        [words[0], *other[1:3], *words[3:]] if looked.standby in words[0] else words
        for words in lines
    ]
    path.write_text("".join(f"{' '.join(words)}\n" for words in changed))
    yield
    path.write_text(before)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("AWS_ENDPOINT_URL=http://127.0.0.1:9", "did not reach AWS"),
        ("AWS_ACCESS_KEY_ID=AKIAWRONGWRONG000000", "access denied"),
    ],
)
def test_without_aws_the_reason_is_told_and_the_status_is_1(
    looked: Looked, variable: str, said: str
) -> None:
    verb = (sys.executable, "-m", "portway.cli.main", "drift", INVENTORY, "--json")
    result = looked.system.operator("env", variable, *verb, check=False)
    assert result.returncode == 1, output(result)
    assert said in json.loads(result.stdout)["error"]


SEQUENCES, LENGTH = 3, 5
ON_STANDBY_ONLY = ("service stopped",)
"""What would move the address if it were done to the node that has it."""


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_after_any_sequence_one_run_leaves_no_drift(
    looked: Looked, number: int
) -> None:
    """PORTWAY_SEED repeats a sequence."""
    system = looked.system
    seed = int(os.environ.get("PORTWAY_SEED") or random.randrange(10**6))
    chosen = random.Random(seed)
    done = []
    for name in chosen.sample(list(MENDED), LENGTH):
        where = MENDED[name].where
        if where in ("holder", "standby") and name not in ON_STANDBY_ONLY:
            where = chosen.choice(("lb-1", "lb-2"))
        make(system, MENDED[name], where if where.startswith("lb-") else "")
        done.append(f"{name} on {where}")
    run = system.deploy(what="site", check=False)
    said = f"PORTWAY_SEED={seed}: {', '.join(done)}\n"
    assert run.returncode == 0, said + output(run)
    after = system.drift()
    assert read(after)["findings"] == [], said + output(after) + output(run)
    assert after.returncode == 0, said + output(after)
