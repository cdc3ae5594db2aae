"""The acceptance run, in a lab whose hosts follow whatever stack is created."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.artifactory import releases
from lab.plan import facts
from lab.plan.names import Lab
from tests.lab.conftest import NAME
from tests.lab.system import PROJECT, System, wait_until

STACK = "trial"
DEPLOY_SECONDS = 600
"""Until a first deploy has ended, on a machine that does other things as well."""

PLANT = """
import boto3, json
ec2 = boto3.client("ec2")
name = "portway-acceptance-0000000000"
ec2.create_key_pair(KeyName=name)
tags = [{"Key": "portway:stack", "Value": "trial"}]
ec2.allocate_address(Domain="vpc", TagSpecifications=[{
    "ResourceType": "elastic-ip", "Tags": tags}])
boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.99.0.0/16"}}
boto3.client("cloudformation").create_stack(
    StackName="trial-2", TemplateBody=json.dumps({"Resources": {"Vpc": vpc}}))
"""
SECRET = """
import boto3, json, sys
name, path = sys.argv[1:]
content = json.dumps({"token": open(path).read()})
boto3.client("secretsmanager").create_secret(Name=name, SecretString=content)
"""
THERE = """
import boto3, json
ec2, rds = boto3.client("ec2"), boto3.client("rds")
stacks = boto3.client("cloudformation").describe_stacks()["Stacks"]
reservations = ec2.describe_instances(Filters=[{
    "Name": "instance-state-name",
    "Values": ["pending", "running", "stopping", "stopped"]}])["Reservations"]
print(json.dumps({
    "stacks": [s["StackName"] for s in stacks],
    "keys": [k["KeyName"] for k in ec2.describe_key_pairs()["KeyPairs"]],
    "roles": [r["RoleName"] for r in boto3.client("iam").list_roles()["Roles"]],
    "snapshots": [s["DBSnapshotIdentifier"]
                  for s in rds.describe_db_snapshots()["DBSnapshots"]],
    "databases": [d["DBInstanceIdentifier"]
                  for d in rds.describe_db_instances()["DBInstances"]],
    "addresses": [a["PublicIp"] for a in ec2.describe_addresses()["Addresses"]],
    "instances": [i["InstanceId"] for r in reservations for i in r["Instances"]],
}, sort_keys=True))
"""

Present = dict[str, list[str]]


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A lab without a stack, whose hosts follow AWS."""
    system = System(f"{NAME}acc"[:15])
    system.down()
    system.up("--no-stack", "--suite", "trixie")
    token = releases.token_file(Lab(system.name))
    system.python(SECRET, facts.ARTIFACTORY_SECRET, str(token))
    process = subprocess.Popen(
        system.command("follow"),
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield system
    finally:
        process.terminate()
        process.wait(60)
        system.down()


@pytest.fixture(scope="module")
def before(system: System) -> Present:
    """What somebody else has there: names as like a run's as can be."""
    system.python(PLANT)
    return there(system)


def there(system: System) -> Present:
    """What is in AWS that a run could have made."""
    found: Present = json.loads(system.python(THERE))
    return found


@dataclass(frozen=True)
class Run:
    """A run of the program by the account's owner, in the background."""

    system: System
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def said(self) -> str:
        return self.output.read_text()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        owner = [f"{key}={value}" for key, value in facts.OWNER.items()]
        command = ("python", "-m", "acceptance", "--folder", str(self.folder), *words)
        with self.output.open("ab") as sink:
            return subprocess.Popen(
                self.system.command(
                    "run", "--", "env", "-u", "PORTWAY_STACK", *owner, *command
                ),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )

    def make(self, *more: str) -> subprocess.Popen[bytes]:
        """Start a run that makes a stack."""
        client = f"python -m lab client --name {self.system.name} --"
        return self.start(
            *("--stack", STACK, "--yes", "--client", client),
            *("--operator-cidr", f"{facts.OPERATOR_STATION.address}/32"),
            *("--inventory", "inventories/lab.py"),
            *("--artifactory-token-secret", facts.ARTIFACTORY_SECRET),
            *more,
        )

    def clean_up(self) -> int:
        return self.start("--clean-up", STACK).wait(DEPLOY_SECONDS)

    def wait_for(self, process: subprocess.Popen[bytes], text: str) -> None:
        """Wait until it says something; fail if it ends before."""

        def has_said() -> bool:
            found = re.search(text, self.said()) is not None
            assert found or process.poll() is None, self.said()
            return found

        wait_until(has_said, DEPLOY_SECONDS, text)


@pytest.fixture
def run(system: System, tmp_path: Path) -> Run:
    return Run(system, tmp_path)


def test_whole_run_is_as_expected_and_leaves_nothing(run: Run, before: Present) -> None:
    assert run.make().wait(3 * DEPLOY_SECONDS) == 0, run.said()

    (path,) = (run.folder / STACK).glob("report-*.md")
    report = path.read_text()
    assert "All was as expected." in report
    assert "**" not in report, "nothing failed or differs"
    assert facts.ACCOUNT not in report
    assert not [word for word in facts.OWNER.values() if word in report]
    titles = re.findall(r"^\| (.+?) \| \d+ \| ok \|", report, re.MULTILINE)
    assert len(titles) == 13, titles
    assert re.search(r"keepalived stopped on lb-\d: \d+ acknowledged", report)
    assert re.search(r"password rotated \| \d+ \| ok \| .* 0 failed", report)
    (path,) = (run.folder / STACK).glob("observations-*.jsonl")
    seen: list[dict[str, Any]] = [json.loads(x) for x in path.read_text().splitlines()]
    assert len({line["item"] for line in seen}) > 20
    assert there(run.system) == before


def test_interrupted_run_leaves_nothing(run: Run, before: Present) -> None:
    process = run.make("--only", "look", "--application-nodes", "1")
    run.wait_for(process, "this takes about a quarter of an hour")

    process.send_signal(signal.SIGINT)

    assert process.wait(DEPLOY_SECONDS) == 1, run.said()
    assert there(run.system) == before
    assert "ended by SIGINT" in run.said()
    assert not (run.folder / STACK / "home").exists()


@pytest.mark.long
def test_run_killed_while_a_node_is_replaced_is_cleaned_up(
    run: Run, before: Present
) -> None:
    process = run.make("--only", "load-balancer", "--application-nodes", "1")
    run.wait_for(process, r"i-\w+ was launched")
    assert there(run.system) != before

    process.send_signal(signal.SIGKILL)

    assert process.wait(60) == -signal.SIGKILL
    assert run.clean_up() == 0, run.said()
    assert there(run.system) == before
    assert not (run.folder / STACK / "home").exists()


def test_run_killed_while_it_deletes_is_cleaned_up(run: Run, before: Present) -> None:
    """It was interrupted while the address was being moved."""
    process = run.make("--only", "transfer", "--application-nodes", "1")
    run.wait_for(process, "transfer: the address handed over")
    process.send_signal(signal.SIGTERM)
    run.wait_for(process, "deleting everything that was made")

    process.send_signal(signal.SIGKILL)

    assert process.wait(60) == -signal.SIGKILL
    assert run.clean_up() == 0, run.said()
    assert there(run.system) == before
