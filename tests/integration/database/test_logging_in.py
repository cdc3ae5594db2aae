"""Accounts that cannot log in are seen and repaired, and none is locked by a look."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from portway.database.admin import find_working_login
from portway.database.errors import LoginRefused
from portway.database.state import MARIADB, POSTGRES
from portway.errors import PortwayError
from tests.integration.database.places import Place, RunningServer
from tests.integration.database.runs import REFUSED, TABLES, deploy, look


@pytest.fixture
def place(mysql_like: RunningServer) -> Place:
    """A database on MariaDB or MySQL that two nodes use."""
    place = mysql_like.new_place(files=(TABLES,))
    deploy(place)
    place.used_by(app_1="1", app_2="1")
    return place


def change(place: Place, change: str) -> None:
    """Change the application's account as somebody else would."""
    place.server.ask(f"ALTER USER {place.wanted.user}@'%' {change}")


@contextmanager
def one_wrong_password_locks(place: Place) -> Iterator[None]:
    """One failed login blocks the account until somebody ends that."""
    if place.server.engine == MARIADB:
        place.server.ask("SET GLOBAL max_password_errors = 1")
    else:
        change(place, "FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED")
    yield
    if place.server.engine == MARIADB:
        place.server.ask("SET GLOBAL max_password_errors = DEFAULT")


def test_no_look_locks_an_account_whatever_the_secret_says(place: Place) -> None:
    former = replace(place)
    with one_wrong_password_locks(place):
        place.password = "rotated" + place.password
        for _ in range(2):
            assert look(place)
            with pytest.raises(LoginRefused, match="logs in neither"):
                find_working_login(place.access(), place.wanted, None)
        former.as_application("SELECT * FROM received")
        deploy(place)
        former.as_application("SELECT * FROM received")
        place.as_application("SELECT * FROM received", user=place.wanted.second)
        assert look(place) == ()
        found = find_working_login(place.access(), place.wanted, None)
        assert found.user == place.wanted.second


def test_account_that_wrong_passwords_blocked_is_freed(place: Place) -> None:
    with one_wrong_password_locks(place):
        wrong = replace(place, password="wrong")
        with pytest.raises(REFUSED):
            wrong.as_application("SELECT 1")
        with pytest.raises(REFUSED, match="locked"):
            place.as_application("SELECT 1")
        user = place.wanted.user
        expected = [f"Set the password of the user {user} and let it log in"]
        assert [str(difference) for difference in look(place)] == expected
        assert deploy(place) == expected
        place.as_application("SELECT * FROM received")
        assert look(place) == ()


@pytest.mark.parametrize("how", ["ACCOUNT LOCK", "PASSWORD EXPIRE"])
def test_account_that_somebody_locked_works_again(place: Place, how: str) -> None:
    change(place, how)
    user = place.wanted.user
    assert deploy(place) == [f"Set the password of the user {user} and let it log in"]
    place.as_application("SELECT * FROM received")
    assert look(place) == ()


def test_password_that_will_expire_does_not(place: Place) -> None:
    change(place, "PASSWORD EXPIRE INTERVAL 30 DAY")
    expected = [f"Let the password of the user {place.wanted.user} not expire"]
    assert deploy(place) == expected
    assert look(place) == ()
    change(place, "PASSWORD EXPIRE DEFAULT")
    assert look(place) == ()
    place.server.ask("ALTER USER root@localhost PASSWORD EXPIRE NEVER")
    place.server.ask("SET GLOBAL default_password_lifetime = 30")
    try:
        assert deploy(place) == expected
        another = place.server.new_place()
        deploy(another)
        assert look(place) == look(another) == ()
    finally:
        place.server.ask("SET GLOBAL default_password_lifetime = 0")


def test_account_with_all_the_connections_it_may_have_is_left_alone(
    rds: RunningServer,
) -> None:
    place = rds.new_place(files=(TABLES,))
    deploy(place)
    if rds.engine == POSTGRES:
        rds.ask(f"ALTER ROLE {place.wanted.user} CONNECTION LIMIT 1")
    else:
        change(place, "WITH MAX_USER_CONNECTIONS 1")
    session = place.connected()
    try:
        with pytest.raises(REFUSED):
            place.connected()
        assert look(place) == ()
        found = find_working_login(place.access(), place.wanted, place.wanted.user)
        assert found.user == place.wanted.user
    finally:
        session.close()


def test_account_that_demands_more_than_a_password_is_named(place: Place) -> None:
    change(place, "REQUIRE X509")
    with pytest.raises(PortwayError) as refusal:
        look(place)
    assert "cannot log in with its password" in refusal.value.what
    assert f"SHOW CREATE USER '{place.wanted.user}'@'%'" in refusal.value.do


def test_former_password_that_mysql_still_takes_counts(mysql: RunningServer) -> None:
    place = mysql.new_place(files=(TABLES,))
    deploy(place)
    change(place, "IDENTIFIED BY 'another' RETAIN CURRENT PASSWORD")
    assert look(place) == ()
    change(place, "DISCARD OLD PASSWORD")
    assert look(place)
