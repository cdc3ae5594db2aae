"""`deploys/db.py` as users run it: pyinfra, boto3, SSH and PostgreSQL, all for real.

Only what AWS says about the stack itself is given, by an inventory made for the test.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pg8000.native import DatabaseError

from tests.integration.database_servers import HOST, MASTER, Place, RunningServer
from tests.integration.ssh_server import RunningNode, running_node
from tests.unit import samples

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
INVENTORY = """
import json, os
from portway import inventory as _inventory
from portway.stack import Stack as _Stack

_stack = _Stack.from_dict(json.loads(os.environ["TEST_STACK"]))
_inventory.read_stack = lambda *a, **k: _stack
CODE
load_balancers = _inventory.load_balancers(_stack.name, _stack.region)
app_nodes = [
    (name, data | {"ssh_port": int(os.environ["TEST_SSH_PORT"])})
    for name, data in _inventory.app_nodes(_stack.name, _stack.region)
]
"""
IMPATIENT = """
from portway import database_admin as _admin, database_session as _session
_admin.ROTATION_PAUSE = _session.PAUSE_SECONDS = 0.0
"""
LEAKS = {
    "into a log": """
import logging as _logging
from portway import databases as _databases
_read = _databases.read_login
def _leaking(*args):
    login = _read(*args)
    _logging.getLogger("pyinfra").debug("%s", login.password.get_secret_value())
    return login
_databases.read_login = _leaking
""",
    "from botocore": """
from contextlib import nullcontext
from portway import aws as _aws
_aws._responses_unlogged = nullcontext
""",
    "into a statement": """
from portway import database as _database, databases as _databases
from dataclasses import replace as _replace
from portway import database_admin as _admin
_find = _admin.find_differences
def _leaking(wanted, found):
    password = next(iter(_databases._access.values())).application.password
    value = password.get_secret_value()
    return tuple(
        _replace(d, statements=tuple(
            s.replace(_database.PASSWORD, f"'{value}'") for s in d.statements
        )) for d in _find(wanted, found)
    )
_databases.find_differences = _leaking
""",
}
"""Code that undoes one guard each."""
LOUD = ("-vvv", "--diff", "--debug", "--debug-all")


@dataclass
class Operator:
    """Someone who runs pyinfra against one place."""

    place: Place
    node: RunningNode
    secrets: Any
    folder: Path
    inventory_code: str = ""
    said: list[str] = field(default_factory=list)
    """Everything that runs printed."""
    passwords: list[str] = field(default_factory=list)
    """Everything that was a password."""

    def run(self, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run the deploy, and give what it printed on both streams as stdout."""
        inventory = self.folder / "prod.py"
        inventory.write_text(INVENTORY.replace("CODE", self.inventory_code))

        result = subprocess.run(
            [
                *(sys.executable, "-m", "pyinfra", str(inventory)),
                *("deploys/db.py", *options),
            ],
            cwd=ROOT,
            env=os.environ | self._environment(),
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        self.said.append(result.stdout)

        return result

    def set_secret(self, name: str, user: str, password: str) -> None:
        """Put a login into Secrets Manager."""
        value = json.dumps({"username": user, "password": password})
        self.secrets.put_secret_value(SecretId=name, SecretString=value)

    def remember(self, password: str) -> str:
        """Note that this is a password."""
        self.passwords.append(password)
        return password

    def rotate_application_secret(self) -> None:
        """Give the application another password, in its secret only."""
        self.place.password = self.remember("rotated" + self.place.password)
        self.set_secret("application", self.place.wanted.user, self.place.password)

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.node.folder),
            "PYTHONPATH": str(ROOT),
            "PORTWAY_DATABASE_CA": str(self.place.server.authority.file),
            "TEST_SSH_PORT": str(self.node.port),
            "TEST_STACK": json.dumps(_stack(self.place)),
        }


def _stack(place: Place) -> dict[str, Any]:
    saved = samples.stack(app_nodes=1).to_dict()
    for node in saved["nodes"]:
        node["address"] = "127.0.0.1"
    saved["database"] |= {
        "address": HOST,
        "port": place.server.port,
        "name": place.wanted.database,
        "master_secret": "master",
        "application_secret": "application",
    }
    return saved


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def operator(
    aws: str,
    postgres: RunningServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Operator]:
    for name, value in {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    place = postgres.new_place()
    secrets = boto3.client("secretsmanager", REGION)
    for name in ("master", "application"):
        if not secrets.list_secrets(Filters=[{"Key": "name", "Values": [name]}])[
            "SecretList"
        ]:
            secrets.create_secret(Name=name, SecretString="{}")
    with running_node(tmp_path / "home", postgres.port) as node:
        someone = Operator(place, node, secrets, tmp_path)
        someone.set_secret("master", MASTER, postgres.master_password)
        someone.set_secret(
            "application", place.wanted.user, someone.remember(place.password)
        )
        yield someone


def changes(output: str) -> list[str]:
    """The operations with changes in the table that a run ends with."""
    table = output.rpartition("--> Detected changes:")[2]
    if "--> Results:" in output:
        table = output.rpartition("--> Results:")[2]
    rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    none = "-" if "--> Results:" not in output else "No Change"
    return [
        row[0]
        for row in rows
        if len(row) >= 3
        and row[0] not in ("Operation", "Grand total", none)
        and (row[1] != "-" if none == "-" else row[2] != "-")
    ]


def secrets_in(texts: list[str], operator: Operator) -> list[str]:
    """Which secrets stand in some texts: passwords, and what the server keeps."""
    server, user = operator.place.server, operator.place.wanted.user
    kept = server.ask(
        f"SELECT rolpassword FROM pg_authid WHERE rolname IN ('{user}', '{MASTER}')"
    )
    known = [server.master_password, *operator.passwords]
    known += [part for row in kept for part in (row[0] or "").split("$")[2:]]
    everything = "\n".join(texts)
    return [secret for secret in known if secret in everything]


def test_dry_run_lists_what_the_run_does_and_the_second_does_nothing(
    operator: Operator,
) -> None:
    user = operator.place.wanted.user
    planned = operator.run("--dry")
    assert planned.returncode == 0
    assert changes(planned.stdout)[:2] == [
        "Create the schema messages",
        f"Create the user {user}",
    ]
    done = operator.run("-y")
    assert done.returncode == 0, done.stdout
    assert changes(done.stdout)[:-1] == changes(planned.stdout)
    operator.place.as_application("SELECT 1")
    for again in (operator.run("-y"), operator.run("--dry")):
        assert again.returncode == 0
        assert changes(again.stdout) == []
    assert operator.node.server.commands == [], "nothing needs to run on the node"
    assert set(operator.node.server.asked) == {(HOST, operator.place.server.port)}


def test_run_that_is_confirmed_does_the_same(operator: Operator) -> None:
    done = operator.run(answer="\n")
    assert done.returncode == 0, done.stdout
    operator.place.as_application("SELECT 1")
    assert changes(operator.run("--dry").stdout) == []


def test_rotated_secret_is_one_change_and_the_old_password_stops_working(
    operator: Operator,
) -> None:
    operator.run("-y")
    old = replace(operator.place)
    operator.rotate_application_secret()
    expected = f"Set the password of the user {old.wanted.user}"
    assert changes(operator.run("--dry").stdout) == [expected]
    assert changes(operator.run("-y").stdout)[0] == expected
    operator.place.as_application("SELECT 1")
    with pytest.raises(DatabaseError):
        old.as_application("SELECT 1")


def test_no_secret_is_in_anything_printed_however_loud(operator: Operator) -> None:
    operator.inventory_code = IMPATIENT
    for options in (("--dry", *LOUD), ("-y", *LOUD), ("-y", *LOUD)):
        assert operator.run(*options).returncode == 0
    operator.rotate_application_secret()
    operator.run("-y", *LOUD)
    operator.run("--dry", "--debug-operations", *LOUD)
    operator.set_secret("master", MASTER, operator.remember("wrong" * 8))
    failed = operator.run("-y", *LOUD)
    assert failed.returncode != 0
    assert secrets_in(operator.said, operator) == []
    assert "botocore" in failed.stdout, "debug logs of all packages are on"


@pytest.mark.parametrize("leak", LEAKS)
def test_secret_that_is_leaked_on_purpose_is_found(
    operator: Operator, leak: str
) -> None:
    operator.inventory_code = LEAKS[leak]
    operator.run("-y", *LOUD)
    assert secrets_in(operator.said, operator) != []


def failure(operator: Operator) -> str:
    """What a failing run says after connecting."""
    result = operator.run("-y")
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    return result.stdout.partition("--> Connecting")[2]


def test_wrong_master_password_is_told_in_one_paragraph(operator: Operator) -> None:
    operator.inventory_code = IMPATIENT
    operator.set_secret("master", MASTER, "wrong")
    said = failure(operator)
    assert f"{MASTER} cannot log in" in said
    assert "RDS may be rotating it" in said


def test_unreachable_database_is_told_with_the_node_that_tried(
    operator: Operator,
) -> None:
    operator.inventory_code = IMPATIENT
    operator.node.server.target = 1
    said = failure(operator)
    assert "app-1 does not reach the database at " + HOST in said
    assert "security group" in said


def test_node_that_forwards_nothing_is_told(operator: Operator) -> None:
    operator.node.server.forwards = False
    assert "AllowTcpForwarding" in failure(operator)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("no JSON, but pass-word", "is not a JSON object"),
        ('{"username": "application"}', 'has no "password"'),
        ('{"username": "a b", "password": "pass-word"}', '"username" must be'),
        ('{"username": "a", "password": "pass-w\\u00f6rd"}', "printable ASCII"),
    ],
)
def test_unfit_secret_is_told_without_its_content(
    operator: Operator, value: str, told: str
) -> None:
    operator.secrets.put_secret_value(SecretId="application", SecretString=value)
    said = failure(operator)
    assert told in said
    assert "secret application" in said
    assert "pass-w" not in said


def test_sql_files_are_applied_once_and_a_changed_one_stops_the_run(
    operator: Operator,
) -> None:
    folder = operator.folder / "sql"
    folder.mkdir()
    (folder / "001.sql").write_text("CREATE TABLE received (id int);")
    (folder / "002.sql").write_text("CREATE TABLE broken;")
    option = ("--data", f"database_sql_dir={folder}")
    said = operator.run("-y", *option)
    assert said.returncode != 0
    assert "SQL file 002.sql: refused" in said.stdout
    assert "Traceback" not in said.stdout
    (folder / "002.sql").write_text("CREATE TABLE mended (id int);")
    assert changes(operator.run("-y", *option).stdout)[0] == "Apply SQL file 002.sql"
    assert changes(operator.run("-y", *option).stdout) == []
    operator.place.as_application("SELECT * FROM received, mended")
    (folder / "001.sql").write_text("CREATE TABLE other (id int);")
    changed = operator.run("-y", *option)
    assert changed.returncode != 0
    assert "001.sql: was changed after it had been applied" in changed.stdout
    assert "Starting operation" not in changed.stdout
