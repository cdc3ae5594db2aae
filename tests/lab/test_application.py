"""The application and its database under load: rotated, upgraded, and broken."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.system import PROJECT, System, changes, output

PORTS = ("9001", "9002", "9003")
DRAIN_SECONDS = 5

QUERY = "SELECT control_id, version FROM messages.messages"

ROTATE = """
import boto3, json, secrets, sys
manager = boto3.client("secretsmanager")
(name,) = [s["Name"] for s in manager.list_secrets()["SecretList"]
           if "ApplicationSecret" in s["Name"]]
old = json.loads(manager.get_secret_value(SecretId=name)["SecretString"])
new = {**old, "password": secrets.token_hex(16)}
manager.put_secret_value(SecretId=name, SecretString=json.dumps(new))
print(json.dumps(old))
"""

LOG_IN = """
import os, sys, pg8000.native
try:
    pg8000.native.Connection(
        sys.argv[1], host=sys.argv[2], database="messages", ssl_context=True,
        password=sys.stdin.readline().strip())
    print("let in")
except pg8000.native.DatabaseError as error:
    print(error.args[0]["C"])
"""


@dataclass
class Load:
    """What many clients sent, filled in when they have stopped."""

    senders: list[dict[str, Any]] = field(default_factory=list)

    @property
    def acknowledged(self) -> set[str]:
        return {i for sender in self.senders for i in sender["acknowledged"]}


@contextmanager
def load(system: System, clients: int = 20) -> Iterator[Load]:
    """Clients that send all the while."""
    program = ("python", "-m", "lab.messages", "load", "--clients", str(clients))
    words = (*program, system.elastic_ip, *PORTS)
    process = subprocess.Popen(
        system.command("client", "--", *words),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    report = Load()
    try:
        yield report
    finally:
        process.terminate()
        text, _ = process.communicate(timeout=60)
    report.senders = json.loads(text)
    assert all(sender["acknowledged"] for sender in report.senders)


def stored(system: System) -> dict[str, str]:
    """The control id of every stored message, and the version that stored it."""
    psql = ("runuser", "-u", "postgres", "--", "psql", "-qtAX", "-d", "messages")
    lines = system.execute("db-1", *psql, "-c", QUERY).splitlines()
    return dict(line.split("|") for line in lines)


def versions(system: System) -> dict[str, str]:
    """The release that each application node's process runs."""
    show = "readlink /proc/$(systemctl show -p MainPID --value message-app)/cwd"
    return {
        node: system.node(node, show).stdout.strip().rpartition("/")[2]
        for node in sorted(system.addresses("application"))
    }


@pytest.fixture(scope="module")
def site(trixie: System) -> System:
    """A lab in which everything runs as its settings say."""
    trixie.deploy(what="site")
    return trixie


def test_site_a_second_time_changes_nothing(site: System) -> None:
    second = site.deploy(what="site")
    assert changes(second) == 0, output(second)


def test_dry_run_of_the_database_lists_nothing_once_it_is_made(site: System) -> None:
    plan = json.loads(site.deploy("--dry", "--json", what="db").stdout)["plan"]
    assert [step for step in plan if step["hosts_with_change"]] == []


def test_rotated_secret_is_applied_and_loses_no_message(site: System) -> None:
    with load(site) as report:
        old = json.loads(site.python(ROTATE))
        site.deploy(what="site")
    kept = stored(site)
    assert report.acknowledged <= kept.keys()
    endpoint = site.python(
        "import boto3; r = boto3.client('rds').describe_db_instances()\n"
        "print(r['DBInstances'][0]['Endpoint']['Address'])"
    ).strip()
    # A node of the application is where the database lets anyone in from.
    library = "PYTHONPATH=/opt/message-app/current/lib"
    answer = site.call(
        *("exec", "app-1", "--", "env", library),
        *("python3", "-c", LOG_IN, old["username"], endpoint),
        stdin=old["password"] + "\n",
    )
    assert answer.stdout.strip() == "28P01"  # invalid_password
    assert changes(site.deploy(what="site")) == 0


def test_upgrade_under_load_loses_no_message(site: System) -> None:
    with load(site) as report:
        site.deploy("-y", "--data", "app_version=2.0.0", what="app")
    kept = stored(site)
    assert report.acknowledged <= kept.keys()
    assert {kept[i] for i in report.acknowledged} == {"1.0.0", "2.0.0"}
    assert set(versions(site).values()) == {"2.0.0"}
    for sender in report.senders:
        assert sender["longest_refusal"] <= DRAIN_SECONDS
    back = site.deploy(what="app")
    assert changes(back) > 0
    assert set(versions(site).values()) == {"1.0.0"}


def test_broken_release_stops_the_roll_at_the_first_node(site: System) -> None:
    with load(site) as report:
        options = ("--data", "app_version=2.0.1", "--data", "app_start_timeout=8")
        result = site.deploy("-y", *options, what="app", check=False)
    assert result.returncode != 0
    running = versions(site)
    (broken,) = [node for node, version in running.items() if version == "2.0.1"]
    assert f"{broken} is not changed as it should be" in output(result)
    assert report.acknowledged <= stored(site).keys()
    assert site.ask(9001) != ""
    site.deploy(what="app")
    assert set(versions(site).values()) == {"1.0.0"}
    assert site.answering_nodes(9001, 8) == set(running)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"checksum": "wrong"}, "SHA-256"),
        ({"checksum": "none"}, "checksum"),
        ({"truncate": 1000}, "app-"),
        ({"status": 404}, "2.0.0"),
        ({"status": 403}, "portway/artifactory"),
    ],
)
def test_bad_artifact_is_told_and_the_running_version_untouched(
    site: System, fault: dict[str, Any], expected: str
) -> None:
    faults = Path("/var/lib/portway-lab", site.name, "artifactory", "faults.json")
    # A release that no node has fetched: of the test before, all have.
    site.node("app-1", "rm -rf /opt/message-app/releases/2.0.0")
    site.node("app-2", "rm -rf /opt/message-app/releases/2.0.0")
    faults.write_text(json.dumps(fault))
    try:
        options = ("-y", "--data", "app_version=2.0.0")
        result = site.deploy(*options, what="app", check=False)
    finally:
        faults.unlink()
    assert result.returncode != 0
    assert expected in output(result)
    assert "Traceback" not in output(result)
    assert set(versions(site).values()) == {"1.0.0"}
    assert changes(site.deploy(what="app")) == 0
