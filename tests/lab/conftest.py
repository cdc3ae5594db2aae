"""Labs for the tests: brought up once, taken down at the end."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.system import System

CHECKOUT = Path(__file__).parent.parent.parent

NAME = os.environ.get("PORTWAY_LAB") or "pwtest"

COMMAND_SECONDS = 300


@dataclass(frozen=True)
class LabUnderTest:
    """A lab that is up, used as a person would use it: by its commands."""

    name: str

    def lab(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m lab`` with this lab's name."""
        done = subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            check=False,
            cwd=CHECKOUT,
            env={**os.environ, "PORTWAY_LAB": self.name},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"lab {' '.join(arguments)}: status {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def status(self) -> dict[str, Any]:
        """What ``status --json`` says now."""
        status: dict[str, Any] = json.loads(self.lab("status", "--json").stdout)
        return status

    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes of the status by name."""
        return {node["node"]: node for node in self.status()["nodes"]}

    def run(self, *command: str, check: bool = True) -> str:
        """What a command of the operator's prints."""
        return self.lab("run", "--", *command, check=check).stdout

    def python(self, program: str, *arguments: str) -> str:
        """What a Python program of the operator's prints."""
        return self.run("python", "-c", program, *arguments)

    def execute(self, node: str, *command: str, check: bool = True) -> str:
        """What a command of root's on a node prints."""
        return self.lab("exec", node, "--", *command, check=check).stdout

    def client(self, *command: str, source: str | None = None) -> str:
        """What a customer's command prints, whatever its status."""
        chosen = ["--from", source] if source else []
        return self.lab("client", *chosen, "--", *command, check=False).stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[LabUnderTest]:
    """A lab with two load balancers, two application nodes and a database host."""
    under_test = LabUnderTest(NAME)
    under_test.lab("down")
    under_test.lab("up", "--app-nodes", "2", "--suite", "trixie")
    yield under_test
    under_test.lab("down")


@pytest.fixture(scope="session")
def trixie() -> Iterator[System]:
    """Debian 13 hosts: two load balancers, two application nodes, nothing deployed."""
    system = System(f"{NAME}13")
    system.down()
    system.up("--app-nodes", "2", "--suite", "trixie")
    yield system
    system.down()


@pytest.fixture(scope="session")
def first_deployed(trixie: System) -> System:
    """The lab after its first deploy."""
    trixie.deploy()
    return trixie


@pytest.fixture
def deployed(first_deployed: System) -> Iterator[System]:
    """A lab that is deployed, and deployed again as it was when the test is over."""
    yield first_deployed
    first_deployed.deploy()


@pytest.fixture(scope="module")
def settled(first_deployed: System) -> System:
    """A lab that is deployed as its settings say, for tests that must not change it."""
    first_deployed.deploy()
    return first_deployed


@pytest.fixture
def clients_file(tmp_path: Path) -> Path:
    """Where a test writes the clients it deploys."""
    return tmp_path / "clients.json"
