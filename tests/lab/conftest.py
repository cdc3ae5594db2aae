"""A lab of the tests' own, made once and taken down at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.system import System

LAB_NAME = "portwaytest"


@pytest.fixture(scope="session")
def trixie() -> Iterator[System]:
    """Debian 13 hosts: two load balancers, two application nodes, nothing deployed."""
    system = System(LAB_NAME)
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
