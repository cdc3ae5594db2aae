"""Labs for the tests: brought up once, taken down at the end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.system import System

NAME = os.environ.get("PORTWAY_LAB") or "pwtest"


@pytest.fixture(scope="module")
def lab() -> Iterator[System]:
    """A lab of its own for the tests of the lab itself; nothing is deployed to it."""
    yield from _brought_up(NAME, "trixie")


@pytest.fixture(scope="session")
def trixie() -> Iterator[System]:
    """Debian 13 hosts: two load balancers, two application nodes, nothing deployed."""
    yield from _brought_up(f"{NAME}13", "trixie")


@pytest.fixture(scope="module")
def bookworm() -> Iterator[System]:
    """The same with Debian 12."""
    yield from _brought_up(f"{NAME}12", "bookworm")


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


def _brought_up(name: str, suite: str) -> Iterator[System]:
    system = System(name)
    system.down()
    system.up("--app-nodes", "2", "--suite", suite)
    yield system
    system.down()
