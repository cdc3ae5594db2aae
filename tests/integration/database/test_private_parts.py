"""A server that stops answering is given up, by the private parts of the drivers."""

import time

import pytest

from portway.database.connections import connect
from portway.database.state import POSTGRES
from portway.errors import PortwayError
from portway.ops.private_parts import (
    set_answer_timeout_pg8000,
    set_answer_timeout_pymysql,
)
from tests.integration.database.places import RunningServer


def test_answer_that_does_not_come_is_not_waited_for(rds: RunningServer) -> None:
    access = rds.new_place().access()
    is_postgres = rds.engine == POSTGRES
    session = connect(access.server, access.read_master(), "postgres" * is_postgres)
    if is_postgres:
        set_answer_timeout_pg8000(session._connection, 0.3)  # type: ignore[attr-defined]
    else:
        set_answer_timeout_pymysql(session._connection, 0.3)  # type: ignore[attr-defined]
    sleep = "SELECT pg_sleep(20)" if is_postgres else "SELECT sleep(20)"
    started = time.monotonic()
    with pytest.raises(PortwayError, match="connection broke"):
        session.run(sleep, "sleeping")
    assert time.monotonic() - started < 5
    session.close()
