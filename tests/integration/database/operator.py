"""Someone who runs `deploys/db.py` with pyinfra, and what they see.

What AWS says about the stack is given by an inventory made for the test; Secrets
Manager is moto, the node a small SSH server.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from portway.database.state import POSTGRES
from portway.model.stack import Stack
from tests.integration.database.places import HOST, MASTER, Place
from tests.integration.database.ssh_server import RunningNode
from tests.unit import samples

ROOT = Path(__file__).parents[3]
REGION = "eu-central-1"
INVENTORY = """
import json, os
from pydantic import TypeAdapter as _TypeAdapter
from portway.model.stack import Stack as _Stack
from portway.run import inventory as _inventory

_stack = _TypeAdapter(_Stack).validate_json(os.environ["TEST_STACK"])
_inventory.read_stack = lambda *a, **k: _stack
CODE
load_balancers = _inventory.load_balancers(_stack.name, _stack.region)
app_nodes = [
    (name, data | {"ssh_port": int(os.environ["TEST_SSH_PORT"])})
    for name, data in _inventory.app_nodes(_stack.name, _stack.region)
]
"""
IMPATIENT = """
from portway.database import admin as _admin, connections as _connections
_admin.ROTATION_PAUSE = _connections.PAUSE_SECONDS = 0.0
"""
LEAKS = {
    "into a log": """
import logging as _logging
from portway.database import deploy as _deploy
_read = _deploy.read_login
def _leaking(*args):
    login = _read(*args)
    _logging.getLogger("pyinfra").debug("%s", login.password.get_secret_value())
    return login
_deploy.read_login = _leaking
""",
    "from botocore": """
from contextlib import nullcontext
from portway.aws import secrets as _secrets
_secrets._responses_unlogged = nullcontext
""",
    "into a statement": """
from portway.database import deploy as _deploy, state as _state
from dataclasses import replace as _replace
_seen = []
_read_access = _deploy._read_access
def _noting(cluster):
    _seen.append(_read_access(cluster))
    return _seen[-1]
_find = _deploy.find_differences
def _leaking(wanted, found):
    value = _seen[-1].application.password.get_secret_value()
    return tuple(
        _replace(d, statements=tuple(
            s.replace(_state.PASSWORD, f"'{value}'") for s in d.statements
        )) for d in _find(wanted, found)
    )
_deploy._read_access = _noting
_deploy.find_differences = _leaking
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

    def run(
        self, *options: str, answer: str = "", quiet: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run the deploy, and give what it printed on both streams as stdout."""
        inventory = self.folder / "prod.py"
        inventory.write_text(INVENTORY.replace("CODE", self.inventory_code))

        result = subprocess.run(
            [
                *(sys.executable, "-m", "pyinfra", str(inventory)),
                *("deploys/db.py", *([] if quiet else ["-v"]), *options),
                *("--data", f"database_schema={self.place.wanted.schema}"),
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
    stack = samples.stack(app_nodes=2)
    saved: dict[str, Any] = TypeAdapter(Stack).dump_python(stack, mode="json")
    for node in saved["nodes"]:
        node["address"] = "127.0.0.1"
    saved["database"] |= {
        "engine": place.wanted.engine,
        "address": HOST,
        "port": place.server.port,
        "name": place.wanted.database,
        "master_secret": "master",
        "application_secret": "application",
    }
    return saved


def changes(output: str) -> list[str]:
    """The operations with changes in the table that a run ends with."""
    done = "--> Results:" in output
    table = output.rpartition("--> Results:" if done else "--> Detected changes:")[2]
    column = 2 if done else 1
    rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()]
    return [
        row[0]
        for row in rows
        if len(row) > column
        and row[0] not in ("Operation", "Grand total")
        and row[column] != "-"
    ]


def secrets_in(texts: list[str], operator: Operator) -> list[str]:
    """Which secrets stand in some texts: passwords, and what the server keeps."""
    server, user = operator.place.server, operator.place.wanted.user
    if server.engine == POSTGRES:
        question, column = "SELECT rolpassword FROM pg_authid WHERE rolname", "$"
    else:
        question, column = "SELECT authentication_string FROM mysql.user WHERE User", ""
    kept = [row[0] for row in server.ask(f"{question} IN ('{user}', '{MASTER}')")]
    known = [server.master_password, *operator.passwords]
    known += [text.rpartition(column)[2] if column else text for text in kept]
    everything = "\n".join(texts)
    return [secret for secret in known if secret in everything]
