"""Database servers that run as long as the tests do, each started when first needed."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.integration.database.operator import REGION, Operator
from tests.integration.database.places import MASTER, RunningServer
from tests.integration.database.servers import (
    running_mariadb,
    running_mysql,
    running_postgres_18,
    running_postgres_of_this_machine,
)
from tests.integration.database.ssh_server import running_node

# A fixture for each server: a fixture with parameters would end one to start the next.
system_postgres = pytest.fixture(scope="session", name="system_postgres")(
    running_postgres_of_this_machine
)
postgres_18 = pytest.fixture(scope="session", name="postgres_18")(running_postgres_18)
mariadb = pytest.fixture(scope="session", name="mariadb")(running_mariadb)
mysql = pytest.fixture(scope="session", name="mysql")(running_mysql)

POSTGRES_SERVERS = ("system_postgres", "postgres_18")
MYSQL_SERVERS = ("mariadb", "mysql")


def _chosen(request: pytest.FixtureRequest) -> RunningServer:
    chosen: RunningServer = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=("postgres_18", *MYSQL_SERVERS))
def rds(request: pytest.FixtureRequest) -> RunningServer:
    """A server as RDS gives one, of each engine in turn."""
    return _chosen(request)


@pytest.fixture(scope="module", params=POSTGRES_SERVERS)
def postgres(request: pytest.FixtureRequest) -> RunningServer:
    """PostgreSQL: this machine's, and 18."""
    return _chosen(request)


@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def mysql_like(request: pytest.FixtureRequest) -> RunningServer:
    """MariaDB, and MySQL."""
    return _chosen(request)


@pytest.fixture(scope="session")
def secrets_manager() -> Iterator[str]:
    """Where moto answers."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(params=["system_postgres"])
def operator(
    request: pytest.FixtureRequest,
    secrets_manager: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Operator]:
    """An operator of a stack with PostgreSQL, or what the test asks for."""
    for name, value in {
        "AWS_ENDPOINT_URL": secrets_manager,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    server: RunningServer = request.getfixturevalue(request.param)
    place = server.new_place()
    secrets = boto3.client("secretsmanager", REGION)
    with running_node(tmp_path / "home", server.port) as node:
        someone = Operator(place, node, secrets, tmp_path)
        for name in ("master", "application"):
            with suppress(secrets.exceptions.ResourceExistsException):
                secrets.create_secret(Name=name)
        someone.set_secret("master", MASTER, server.master_password)
        password = someone.remember(place.password)
        someone.set_secret("application", place.wanted.user, password)
        yield someone
