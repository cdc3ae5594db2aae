"""Database servers that run as long as the tests do, each started when first needed."""

from collections.abc import Iterator

import pytest

from tests.integration.database_servers import (
    RunningServer,
    running_mariadb,
    running_postgres,
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningServer]:
    """PostgreSQL."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[RunningServer]:
    """MariaDB."""
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def rds(request: pytest.FixtureRequest) -> RunningServer:
    """A server as RDS gives one, of each engine in turn."""
    chosen: RunningServer = request.getfixturevalue(request.param)
    return chosen
