"""A followed lab: hosts come and go as somebody's stack does, by nobody's command."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.plan import facts
from lab.plan.project import TEMPLATE
from tests.lab.conftest import NAME
from tests.lab.system import PROJECT, System, wait_until

STACK = "somebodys"

CREATE = """
import boto3, json, sys
name, template, parameters = sys.argv[1:]
boto3.client("cloudformation").create_stack(
    StackName=name, TemplateBody=open(template).read(),
    Capabilities=["CAPABILITY_IAM"],
    Parameters=[{"ParameterKey": key, "ParameterValue": value}
                for key, value in json.loads(parameters).items()])
"""
DELETE = """
import boto3, sys
boto3.client("cloudformation").delete_stack(StackName=sys.argv[1])
"""
CALL = """
import boto3, sys
call, *ids = sys.argv[1:]
getattr(boto3.client("ec2"), call)(InstanceIds=ids)
"""
CONSOLE = """
import base64, boto3, sys
print(boto3.client("ec2").get_console_output(InstanceId=sys.argv[1]).get("Output"))
"""

PARAMETERS = {
    "OperatorCidr": f"{facts.OPERATOR_STATION.address}/32",
    "ZoneA": f"{facts.REGION}a",
    "ZoneB": f"{facts.REGION}b",
    "LoadBalancersAs": "groups",
    "ApplicationNodes": "1",
}

SECONDS = 120
"""Until what AWS has done is so in the lab."""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A lab without a stack."""
    system = System(f"{NAME}follow"[:15])
    system.down()
    system.up("--no-stack", "--suite", "trixie")
    yield system
    system.down()


@dataclass(frozen=True)
class Follower:
    """What follows AWS meanwhile."""

    process: subprocess.Popen[bytes]
    log: Path


@pytest.fixture(scope="module")
def follower(
    system: System, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Follower]:
    log = tmp_path_factory.mktemp("follow") / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            system.command("follow"), cwd=PROJECT, stdout=sink, stderr=sink
        )
    try:
        yield Follower(process, log)
    finally:
        process.terminate()
        process.wait(60)
        print(log.read_text())


@pytest.fixture(scope="module")
def created(system: System, follower: Follower) -> System:
    """The lab, in which somebody has created a stack."""
    assert system.status()["stack"] is None
    create(system, STACK)
    wait_for_ssh(system, {"app-1", "lb-1", "lb-2"})
    return system


def create(system: System, name: str) -> None:
    system.python(CREATE, name, str(TEMPLATE), json.dumps(PARAMETERS))


def nodes(system: System) -> dict[str, dict[str, Any]]:
    return {n["node"]: n for n in system.status()["nodes"]}


def answers(system: System, address: str) -> bool:
    """Whether sshd answers the operator, and with keys that nobody knows yet."""
    said = system.operator("ssh", address, "true", check=False).stderr
    return "Host key verification failed" in said


def wait_for_ssh(system: System, names: set[str], *others: str) -> None:
    """Wait until these hosts are there, with other instances than were, and boot."""

    def there() -> bool:
        found = {
            name: node
            for name, node in nodes(system).items()
            if node["instance_id"] not in others
        }
        return names <= found.keys() and all(
            answers(system, found[name]["address"]) for name in names
        )

    wait_until(there, SECONDS, f"ssh to {', '.join(sorted(names))}")


def test_stack_of_any_name_gets_its_hosts(created: System) -> None:
    wait_until(lambda: "db-1" in nodes(created), SECONDS, "a database")
    assert nodes(created).keys() == {"app-1", "db-1", "lb-1", "lb-2"}
    status = created.status()
    assert status["stack"] == STACK
    assert status["address"]["kind"] == "elastic-ip"
    server = ["runuser", "-u", "postgres", "--", "psql", "-qtAX", "-l"]
    wait_until(
        lambda: "messages" in created.execute("db-1", *server, check=False),
        SECONDS,
        "RDS's database",
    )


def test_operator_gets_keys_from_the_console_only(created: System) -> None:
    assert not (Path(created.status()["home"]) / ".ssh" / "known_hosts").exists()
    shown = created.python(CONSOLE, nodes(created)["lb-1"]["instance_id"])
    assert "BEGIN SSH HOST KEY KEYS" in shown
    assert "ssh-ed25519 " in shown


def test_terminated_instances_come_back_as_others(created: System) -> None:
    before = nodes(created)
    lost = {"app-1", "lb-2"}
    ids = [before[name]["instance_id"] for name in sorted(lost)]

    created.python(CALL, "terminate_instances", *ids)
    wait_for_ssh(created, lost, *ids)

    after = nodes(created)
    assert after.keys() == before.keys()
    assert after["lb-1"] == before["lb-1"]
    assert after["db-1"] == before["db-1"]


def test_group_replaces_a_stopped_instance(created: System) -> None:
    stopped = nodes(created)["lb-1"]["instance_id"]
    created.python(CALL, "stop_instances", stopped)
    wait_for_ssh(created, {"lb-1"}, stopped)


def test_second_stack_is_refused_and_hosts_of_the_first_are_left_alone(
    created: System, follower: Follower
) -> None:
    """Also one that a fault took the power from."""
    created.call("fault", "power-off", "lb-1")
    before = nodes(created)

    create(created, "another")
    sentence = f"stacks {STACK} and another exist, but a lab has hosts for only one"
    wait_until(lambda: sentence in follower.log.read_text(), SECONDS, "a refusal")
    created.python(DELETE, "another")

    assert nodes(created) == before
    assert before["lb-1"]["state"] == "off"
    created.call("fault", "heal")
    wait_for_ssh(created, {"lb-1"})


def test_deleted_stack_leaves_no_hosts_and_down_ends_the_follower(
    created: System, follower: Follower
) -> None:
    created.python(DELETE, STACK)
    wait_until(lambda: nodes(created) == {}, SECONDS, "no hosts")
    assert created.status()["stack"] is None

    create(created, "next")
    wait_for_ssh(created, {"app-1", "lb-1", "lb-2"})
    assert created.status()["stack"] == "next"

    created.down()
    assert follower.process.wait(60) == 0


def test_follow_without_a_lab_says_so(tmp_path: Path) -> None:
    name = f"{NAME}none"[:15]
    done = System(name).call("follow", check=False)
    assert done.returncode == 1
    assert done.stderr == f"lab: lab {name} is not up: python -m lab up --no-stack\n"
