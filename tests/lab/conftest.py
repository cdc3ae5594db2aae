"""Labs for the tests: brought up once, taken down at the end."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.system import System, spoiled

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""Which of the processes this is, if tests run in several; each has its own labs."""
NAME = (os.environ.get("PORTWAY_LAB") or "pwtest") + WORKER


FIRST = (
    "test_status",
    "test_acceptance",
    "test_bad_night",
    "test_client_changes",
    "test_debian_12",
    "test_application",
    "test_upgrade",
    "test_lost_load_balancer",
    "test_failover",
)
"""Files that begin first: the one that shows a system which nothing has happened to,
and the longest, so that none of them is what everybody waits for at last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file: ``--dist loadfile`` hands files out in this order."""
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


DEPLOYED_TO = {"trixie": "13", "bookworm": "12"}
"""Labs that most tests deploy to, by their fixtures: how their names end."""
_ready: set[str] = set()
"""Labs that were brought up before their fixtures."""


@pytest.fixture(scope="session", autouse=True)
def ready(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bring up side by side what tests need beside which nothing may run.

    Before the first of them, and everything is deployed once: that takes longest.
    """
    wanted: set[str] = set()
    if request.config.option.markexpr == "alone":
        for item in request.session.items:
            wanted.update(getattr(item, "fixturenames", ()))

    def make(suite: str) -> None:
        system = System(f"{NAME}{DEPLOYED_TO[suite]}")
        make_anew(system, suite)
        _ready.add(system.name)
        system.deploy(what="site")

    with ThreadPoolExecutor() as pool:
        list(pool.map(make, DEPLOYED_TO.keys() & wanted))
    yield
    for name in _ready:
        System(name).down()


@pytest.fixture(scope="module")
def lab() -> Iterator[System]:
    """A lab of its own for the tests of the lab itself; nothing is deployed to it."""
    yield from brought_up("", "trixie")


@pytest.fixture(scope="session")
def trixie() -> Iterator[System]:
    """Debian 13 hosts: two load balancers, two application nodes, nothing deployed."""
    for system in brought_up(DEPLOYED_TO["trixie"], "trixie"):
        _used[system.name] = system
        yield system
        del _used[system.name]


@pytest.fixture(scope="module")
def bookworm() -> Iterator[System]:
    """The same with Debian 12."""
    yield from brought_up(DEPLOYED_TO["bookworm"], "bookworm")


@pytest.fixture(scope="session")
def every_port(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clients file with 1,000 ports.

    The application listens on all of them, so that tests of the load balancers alone
    can give any to a client.
    """
    entries = [
        {"client_name": f"client-{port}", "client_port": port}
        | ({"mode": "http"} if port == 9004 else {})
        for port in range(9001, 10_001)
    ]
    path = tmp_path_factory.mktemp("clients") / "every.json"
    path.write_text(json.dumps({"clients": entries}))
    return path


@pytest.fixture(scope="session")
def with_database(trixie: System) -> System:
    """The lab, whose database has what the application needs."""
    trixie.deploy(what="db")
    return trixie


_deployed_as: dict[str, str] = {}
"""How each lab was deployed, as its tests leave it."""
_used: dict[str, System] = {}
"""Labs that several modules' tests use."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test that fails may leave anything: the next module gets another lab."""
    if report.failed:
        _deployed_as.clear()
        spoiled.update(_used)


@pytest.fixture(scope="module", autouse=True)
def intact() -> None:
    """Make labs anew that another module's tests have spoiled."""
    for name in spoiled & _used.keys():
        _deployed_as.pop(name, None)
        make_anew(_used[name], "trixie")
        _used[name].deploy(what="db")
    spoiled.clear()


@contextmanager
def deployed_as(system: System, how: str) -> Iterator[bool]:
    """Whether a lab is deployed like this already; within, it is made so."""
    known = _deployed_as.pop(system.name, "") == how
    yield known
    _deployed_as[system.name] = how


@pytest.fixture(scope="module")
def settled(with_database: System, every_port: Path) -> System:
    """A lab that is deployed as its settings say, for tests that leave it so.

    Only the application listens on more ports, whatever another module's tests made it
    listen on.
    """
    with deployed_as(with_database, "settled") as known:
        if not known:
            clients = ("--data", f"clients_file={every_port}")
            with_database.deploy("-y", *clients, what="app")
            with_database.deploy()
    return with_database


@pytest.fixture(scope="module")
def site(with_database: System) -> System:
    """A lab in which everything runs as its settings say."""
    with deployed_as(with_database, "site") as known:
        if not known:
            with_database.deploy(what="site")
    return with_database


@pytest.fixture(scope="module")
def site_12(bookworm: System) -> System:
    """The same with Debian 12."""
    bookworm.deploy(what="site")
    return bookworm


@pytest.fixture
def deployed(settled: System) -> Iterator[System]:
    """A lab that is deployed, and deployed again as it was when the test is over."""
    yield settled
    settled.deploy()


@pytest.fixture
def clients_file(tmp_path: Path) -> Path:
    """Where a test writes the clients it deploys."""
    return tmp_path / "clients.json"


@pytest.fixture(scope="module")
def private_address() -> Iterator[System]:
    """Both load balancers in one subnet, whose address they share; nothing deployed."""
    yield from brought_up("priv", "trixie", "--address-kind", "private-address")


@pytest.fixture(scope="module")
def route() -> Iterator[System]:
    """An address outside the VPC, and two route tables; nothing deployed."""
    yield from brought_up("route", "trixie", "--address-kind", "route")


def brought_up(suffix: str, suite: str, *kind: str) -> Iterator[System]:
    """A lab of its own, told from the others by the end of its name."""
    system = System(f"{NAME}{suffix}")
    if system.name in _ready:
        _ready.remove(system.name)
    else:
        make_anew(system, suite, *kind)
    yield system
    system.down()


def make_anew(system: System, suite: str, *kind: str) -> None:
    system.down()
    system.up("--app-nodes", "1" if kind else "2", "--suite", suite, *kind)
