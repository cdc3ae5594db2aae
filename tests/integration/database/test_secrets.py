"""No password, nor a hash of one, is in texts, tracebacks, logs or printed values."""

import logging
import re
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from lab.machines.certificates import Authority
from portway.database.admin import Access, master_session, read_database
from portway.database.connections import connect
from portway.database.errors import statement_error
from portway.database.state import PASSWORD
from portway.errors import PortwayError
from tests.integration.database.places import Place, RunningServer
from tests.integration.database.runs import TABLES, deploy

HASHED = "*0123456789ABCDEF0123456789ABCDEF01234567"


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def told(work: object, caplog: pytest.LogCaptureFixture) -> str:
    """Everything that can be seen of a failure."""
    assert callable(work)
    with pytest.raises(PortwayError) as failure:
        work()
    return "".join(traceback.format_exception(failure.value)) + caplog.text


def no_password_in(text: str, place: Place, *more: str) -> None:
    for secret in (place.password, place.server.master_password, HASHED, *more):
        assert secret not in text


def broken_password_statement(access: Access, place: Place) -> None:
    """A server quotes what it does not understand in its answer."""
    with master_session(access, place.wanted.database) as session:
        session.run(
            f"ALTER NOTHING {PASSWORD}", "setting a password", {PASSWORD: HASHED}
        )


def test_refused_password_statement_is_told_without_the_hash(
    rds: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    place = rds.new_place()
    text = told(lambda: broken_password_statement(place.access(), place), caplog)
    assert "setting a password: refused (error" in text
    no_password_in(text, place)


def test_hash_that_is_told_on_purpose_is_found(
    mariadb: RunningServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above looks where a leak would be: MariaDB does quote the statement."""

    def without_guard(*arguments: object, secret: bool) -> PortwayError:
        return statement_error(*arguments, secret=False)  # type: ignore[arg-type]

    name = "portway.database.mysql.session.statement_error"
    monkeypatch.setattr(name, without_guard)
    place = mariadb.new_place()
    text = told(lambda: broken_password_statement(place.access(), place), caplog)
    with pytest.raises(AssertionError):
        no_password_in(text, place)


def test_failures_to_connect_are_told_without_a_password(
    rds: RunningServer, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    place = rds.new_place()
    authority = Authority(tmp_path / "another")
    authority.ensure()
    other = authority.file
    for changes in (
        {"master_password": "wrong" * 5},
        {"ca_file": other},
        {"address": "other.test"},
    ):
        access = place.access(**changes)
        text = told(lambda access=access: read_database(access, place.wanted), caplog)
        no_password_in(text, place, "wrong" * 5)
    text = told(lambda: connect(access.server, access.application, "no_such"), caplog)
    no_password_in(text, place)


def test_values_that_know_passwords_print_as_asterisks(rds: RunningServer) -> None:
    place = rds.new_place(files=(TABLES,))
    access = place.access()
    found = read_database(access, place.wanted)
    deploy(place)
    text = f"{access} {access!r} {access.application!r} {access.read_master()} {found}"
    no_password_in(text, place)
    assert re.search(r"SecretStr\('\*+'\)", text)


def test_sql_file_that_fails_is_told_without_a_password(
    rds: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    broken = replace(TABLES, text="CREATE TABLE;")
    place = rds.new_place(files=(broken,))
    no_password_in(told(lambda: deploy(place), caplog), place)
