"""Differences between a database as it should be and as it is, in both dialects."""

from dataclasses import replace
from typing import Any

import pytest

from portway.database.dialect import Dialect
from portway.database.differences import differences
from portway.database.mysql.dialect import MySql
from portway.database.postgres.catalog import found_database
from portway.database.postgres.dialect import Postgres
from portway.database.state import (
    MARIADB,
    MYSQL,
    PASSWORD,
    POSTGRES,
    FoundDatabase,
    FoundUser,
    Kind,
    Scope,
    SqlFile,
    WantedDatabase,
)

FILES = SqlFile("001.sql", "1" * 64, "SELECT 1"), SqlFile("002.sql", "2" * 64, "…")
WANTED = WantedDatabase(POSTGRES, "main", "messages", "application", files=FILES)
IN_MYSQL = WantedDatabase(MYSQL, "in_box", "in_box", "application")
NOTHING = FoundDatabase(login="portway")


def texts(dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase) -> list[str]:
    return [str(d) for d in differences(dialect, wanted, found)]


def statements(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> list[str]:
    return [s for d in differences(dialect, wanted, found) for s in d.statements]


def complete() -> FoundDatabase:
    """PostgreSQL as it should be."""
    wanted = replace(WANTED, files=())
    user = FoundUser(
        password_works=True,
        search_path=("messages", "public"),
        rights=Postgres().wanted_rights(wanted, wanted.user, NOTHING),
    )
    return FoundDatabase("portway", True, "portway", {wanted.user: user})


def with_user(found: FoundDatabase, **changes: Any) -> FoundDatabase:
    """The same with the application's user changed."""
    user = replace(found.users[WANTED.user], **changes)
    return replace(found, users={**found.users, WANTED.user: user})


def test_nothing_differs_when_all_is_there() -> None:
    assert differences(Postgres(), replace(WANTED, files=()), complete()) == ()


def test_everything_is_made_in_an_order_that_works() -> None:
    assert texts(Postgres(), WANTED, NOTHING) == [
        "Create the database main",
        "Create the schema messages",
        "Create the table portway.sql_files, which records applied SQL files",
        "Create the user application",
        "Let the user application find tables in messages, public",
        "Grant CONNECT on database main to application",
        "Grant USAGE on schema messages to application",
        "Grant SELECT, INSERT, UPDATE, DELETE on future tables of messages to "
        "application",
        "Grant USAGE, SELECT on future sequences of messages to application",
        "Apply SQL file 001.sql",
        "Apply SQL file 002.sql",
    ]


def test_only_the_database_itself_is_made_from_outside() -> None:
    outside = [d for d in differences(Postgres(), WANTED, NOTHING) if not d.inside]
    assert [d.statements for d in outside] == [('CREATE DATABASE "main"',)]


@pytest.mark.parametrize(
    ("dialect", "wanted"), [(Postgres(), WANTED), (MySql(MARIADB), IN_MYSQL)]
)
def test_differences_come_in_the_same_order_each_time(
    dialect: Dialect, wanted: WantedDatabase
) -> None:
    once = differences(dialect, wanted, NOTHING)
    assert once == differences(dialect, wanted, NOTHING)


def test_new_user_has_no_right_that_was_not_granted() -> None:
    (create,) = [
        s for s in statements(Postgres(), WANTED, NOTHING) if "CREATE ROLE" in s
    ]
    assert create == f'CREATE ROLE "application" LOGIN PASSWORD {PASSWORD}'


def test_mysql_and_mariadb_are_given_a_hash_in_their_own_words() -> None:
    assert MySql(MYSQL).set_password("u") == (
        f"ALTER USER 'u'@'%' IDENTIFIED WITH caching_sha2_password AS {PASSWORD} "
        "ACCOUNT UNLOCK",
    )
    assert MySql(MARIADB).set_password("u") == (
        f"ALTER USER 'u'@'%' IDENTIFIED BY PASSWORD {PASSWORD} ACCOUNT UNLOCK",
    )


def test_underscore_in_a_mysql_grant_matches_only_itself() -> None:
    granted = statements(MySql(MYSQL), IN_MYSQL, NOTHING)[-1]
    assert "ON `in\\_box`.* TO 'application'@'%'" in granted


def test_mysql_application_may_never_drop() -> None:
    wanted = replace(IN_MYSQL, creates_tables=True)
    assert not any("DROP" in s for s in statements(MySql(MYSQL), wanted, NOTHING))


def test_names_and_texts_cannot_end_their_quotes() -> None:
    wanted = replace(WANTED, schema='x"; DROP', user="o'x\"")
    text = " ".join(statements(Postgres(), wanted, NOTHING))
    assert '"x""; DROP"' in text
    assert '"o\'x"""' in text
    mine = replace(IN_MYSQL, database="x`", schema="x`", user="o'x\\")
    text = " ".join(statements(MySql(MYSQL), mine, NOTHING))
    assert "`x```" in text
    assert r"'o''x\\'@'%'" in text


def test_password_that_does_not_work_is_set() -> None:
    found = with_user(complete(), password_works=False, may_log_in=False)
    assert texts(Postgres(), replace(WANTED, files=()), found) == [
        "Set the password of the user application and let it log in"
    ]


def test_powers_and_roles_are_taken_one_by_one() -> None:
    found = with_user(
        complete(), powers=("CREATEROLE", "CREATEDB"), roles=("rds_superuser",)
    )
    assert statements(Postgres(), replace(WANTED, files=()), found) == [
        'ALTER ROLE "application" NOCREATEROLE',
        'ALTER ROLE "application" NOCREATEDB',
        'REVOKE "rds_superuser" FROM "application"',
    ]


def test_tables_without_rights_are_told_together() -> None:
    names = [("messages", f"t{n}") for n in range(300)]
    tables = frozenset(Scope(Kind.TABLE, name) for name in names)
    (difference,) = differences(
        Postgres(), replace(WANTED, files=()), replace(complete(), relations=tables)
    )
    assert str(difference).startswith(
        "Grant SELECT, INSERT, UPDATE, DELETE on 300 tables (messages.t0, messages.t1,"
    )
    assert len(difference.statements) == 300


def test_rights_are_given_before_others_are_taken() -> None:
    """An application that lives by a right of everyone's never loses it."""
    found = replace(
        with_user(complete(), rights={}),
        public={Scope(Kind.DATABASE, ("main",)): frozenset({"CONNECT", "TEMPORARY"})},
    )
    verbs = [
        text.split()[0] for text in texts(Postgres(), replace(WANTED, files=()), found)
    ]
    assert verbs == sorted(verbs)
    assert verbs[-1] == "Revoke"


def test_usage_of_schema_public_is_left_to_everyone() -> None:
    """Extensions' functions live there."""
    public = {Scope(Kind.SCHEMA, ("public",)): frozenset({"USAGE", "CREATE"})}
    found = replace(complete(), public=public)
    assert texts(Postgres(), replace(WANTED, files=()), found) == [
        "Revoke CREATE on schema public from PUBLIC"
    ]


def test_right_that_may_be_passed_on_is_taken_with_what_was_passed_on() -> None:
    scope = Scope(Kind.SCHEMA, ("messages",))
    assert Postgres().revoke(scope, ("GRANT OPTION FOR USAGE",), "u") == (
        'REVOKE GRANT OPTION FOR USAGE ON SCHEMA "messages" FROM "u" CASCADE',
    )
    both = ("CREATE", "GRANT OPTION FOR CREATE")
    assert Postgres().revoke(scope, both, "u") == (
        'REVOKE CREATE ON SCHEMA "messages" FROM "u" CASCADE',
    )


@pytest.mark.parametrize(("version", "open_schema"), [(140012, True), (160004, False)])
def test_what_a_new_database_gives_everyone_is_known_beforehand(
    version: int, open_schema: bool
) -> None:
    """So that a first run lists it, and the second finds nothing."""
    answer = {"database": "postgres", "login": "portway", "version": version}
    answer |= {"users": [], "roles": [], "password_encryption": "scram-sha-256"}
    found = found_database(WANTED, answer, None)
    told = texts(Postgres(), WANTED, found)
    assert "Revoke CONNECT, TEMPORARY on database main from PUBLIC" in told
    assert ("Revoke CREATE on schema public from PUBLIC" in told) == open_schema


def test_difference_prints_as_what_is_done_and_never_shows_a_file() -> None:
    *_, last = differences(Postgres(), WANTED, NOTHING)
    assert str(last) == "Apply SQL file 002.sql"
    assert "…" not in repr(last)
