"""Servers that judge passwords: the application's is set all the same, or told why."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from portway.database.state import MARIADB
from portway.errors import PortwayError
from tests.integration.database.places import Place, RunningServer
from tests.integration.database.runs import TABLES, deploy, look

FIT = "Aa1!o'x\\y%s\""
SIMPLE = "SONAME 'simple_password_check'"
REUSE = "SONAME 'password_reuse_check'"
COMPONENT = "COMPONENT 'file://component_validate_password'"


@contextmanager
def judged_by(server: RunningServer, judge: str, **variables: int) -> Iterator[None]:
    """The server judges passwords, and has other values of some variables meanwhile."""
    server.ask(f"INSTALL {judge}")
    before = {name: server.ask(f"SELECT @@{name}")[0][0] for name in variables}
    for name, value in variables.items():
        server.ask(f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        for name, value in before.items():  # some are the judge's
            server.ask(f"SET GLOBAL {name} = {value}")
        server.ask(f"UNINSTALL {judge}")


def strict_place(server: RunningServer) -> Place:
    place = server.new_place(files=(TABLES,))
    place.password = FIT
    return place


def logged(place: Place) -> bool:
    """Whether the server has the password in a log of statements."""
    folder = place.server.folder
    logs = [folder / "statements.log"]
    for pattern in ("binlog.[0-9]*", "*slow.log"):
        logs += (folder / "data").glob(pattern)
    everything = b"".join(path.read_bytes() for path in logs)
    assert place.wanted.user.encode() in everything
    return FIT.split("'", maxsplit=1)[0].encode() in everything


@pytest.mark.parametrize("judge", [SIMPLE, REUSE])
def test_server_that_takes_no_hash_gets_a_password_and_then_the_next_one(
    mariadb: RunningServer, judge: str
) -> None:
    place = strict_place(mariadb)
    slow = {"slow_query_log": 1, "long_query_time": 0}  # every statement is
    with judged_by(mariadb, judge, general_log=0, **slow):
        deploy(place)
        place.as_application("SELECT * FROM received")
        assert look(place) == ()
        former = replace(place)
        place.used_by(app_1="1")
        place.password = place.password + "next"
        done = deploy(place)
        second = place.wanted.second
        assert done[-1] == f"Set the password of the user {second} and let it log in"
        place.as_application("SELECT * FROM received", user=second)
        former.as_application("SELECT * FROM received")
        assert look(place) == ()
    assert not logged(place)


def test_password_is_not_sent_to_a_server_that_logs_it(mariadb: RunningServer) -> None:
    place = strict_place(mariadb)
    refusal = pytest.raises(PortwayError, match="general_log or strict_password_valid")
    with judged_by(mariadb, SIMPLE), refusal:
        look(place)
    deploy(place)
    with judged_by(mariadb, SIMPLE):
        assert look(place) == (), "nothing is sent"
    assert not logged(place)


def test_rules_are_met_however_strict_they_are(mariadb: RunningServer) -> None:
    place = strict_place(mariadb)
    place.password = "aaaaaaaaAAAAAAAA11111111!!!!!!!!"
    kinds = ("digits", "letters_same_case", "other_characters")
    rules = {f"simple_password_check_{kind}": 8 for kind in kinds}
    with judged_by(mariadb, SIMPLE, general_log=0, **rules):
        deploy(place)
        place.as_application("SELECT * FROM received")
        assert look(place) == ()


def test_password_that_fails_the_rules_is_told_without_it(
    mariadb: RunningServer,
) -> None:
    place = mariadb.new_place()
    refused = pytest.raises(PortwayError)
    with judged_by(mariadb, SIMPLE, general_log=0), refused as refusal:
        deploy(place)
    assert "refuses the password in the application's secret" in refusal.value.what
    assert "put a password that satisfies them into the secret" in refusal.value.do
    assert place.password not in refusal.value.message


def test_server_that_judges_and_takes_hashes_gets_a_hash(
    mysql_like: RunningServer,
) -> None:
    place = strict_place(mysql_like)
    in_mariadb = mysql_like.engine == MARIADB
    variables = {"strict_password_validation": 0} if in_mariadb else {}
    with judged_by(mysql_like, SIMPLE if in_mariadb else COMPONENT, **variables):
        deploy(place)
        place.as_application("SELECT * FROM received")
        assert look(place) == ()
    assert not logged(place)
