"""The database deploy with real servers: first runs, passwords, drift."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from portway.database.admin import ROTATION_ATTEMPTS, apply
from portway.database.errors import LoginRefused
from portway.database.state import POSTGRES
from portway.errors import PortwayError
from portway.model.login import Login
from tests.integration.database.places import (
    MASTER,
    RunningServer,
)
from tests.integration.database.runs import MORE, TABLES, deploy, look, refused


def test_first_run_makes_everything_and_the_second_changes_nothing(
    rds: RunningServer,
) -> None:
    place = rds.new_place(files=(TABLES, MORE))
    done = deploy(place)
    assert f"Create the user {place.wanted.user}" in done
    assert done[-2:] == ["Apply SQL file 001_tables.sql", "Apply SQL file 002_more.sql"]
    assert ("Create the schema messages" in done) == (rds.engine == POSTGRES)
    assert look(place) == ()


def test_application_works_with_the_tables_of_the_sql_files(
    rds: RunningServer,
) -> None:
    place = rds.new_place(files=(TABLES,))
    deploy(place)
    place.as_application("INSERT INTO received VALUES (2, 'x')")
    place.as_application("UPDATE received SET body = 'y' WHERE id = 2")
    place.as_application("DELETE FROM received WHERE id = 1")
    rows = place.as_application("SELECT id, body FROM received")
    assert [tuple(row) for row in rows] == [(2, "y")]


def test_looking_changes_nothing(rds: RunningServer) -> None:
    place = rds.new_place(files=(TABLES,))
    first = look(place)
    assert first
    assert look(place) == first


def test_missing_database_is_made_first(rds: RunningServer) -> None:
    place = rds.new_place(files=(TABLES,))
    rds.ask(f"DROP DATABASE {place.wanted.database}")
    done = deploy(place)
    assert done[0] == f"Create the database {place.wanted.database}"
    assert look(place) == ()
    place.as_application("SELECT * FROM received")


def test_names_that_need_quotes_are_quoted(rds: RunningServer) -> None:
    place = rds.new_place()
    database = place.wanted.database if rds.engine == POSTGRES else "order"
    place.wanted = replace(
        place.wanted, schema="order", database=database, user="group", files=(TABLES,)
    )
    deploy(place)
    assert look(place) == ()
    place.as_application("SELECT * FROM received")


def test_interrupted_run_is_finished_by_the_next(rds: RunningServer) -> None:
    place = rds.new_place(files=(TABLES, MORE))
    found = look(place)
    for difference in found[: len(found) // 2]:
        apply(place.access(), place.wanted, difference, file_seconds=20)
    assert deploy(place)[-1] == "Apply SQL file 002_more.sql"
    assert look(place) == ()


def test_no_password_is_in_the_server_s_log_of_statements(
    rds: RunningServer,
) -> None:
    place = rds.new_place(files=(TABLES,))
    deploy(place)
    first = place.password
    place.password = "rotated" + place.password
    deploy(place)
    logs = "".join(
        path.read_text(errors="replace") for path in rds.folder.glob("*.log")
    )
    assert place.wanted.user in logs, "the log holds no statement at all"
    assert first not in logs


def test_master_password_rotated_meanwhile_is_read_again(
    rds: RunningServer,
) -> None:
    place = rds.new_place()
    access = place.access()
    right = access.read_master()
    stale = Login(MASTER, SecretStr("that of last week"))
    answers = iter([stale, stale])
    said: list[str] = []
    rotating = replace(
        access, read_master=lambda: next(answers, right), progress=said.append
    )
    assert look(place, rotating)
    assert len(said) == 2
    assert "rotating" in said[0]


def test_wrong_master_password_is_told_after_a_few_attempts(
    rds: RunningServer,
) -> None:
    place = rds.new_place()
    pauses: list[float] = []
    access = place.access(master_password="quite wrong", sleep=pauses.append)
    with pytest.raises(LoginRefused) as refusal:
        look(place, access)
    assert len(pauses) == ROTATION_ATTEMPTS - 1
    assert "portway cannot log in" in refusal.value.message
    assert "through app-1" in refusal.value.message
    assert "quite wrong" not in refusal.value.message


def test_rights_beyond_the_wanted_are_taken_away(rds: RunningServer) -> None:
    place = rds.new_place(files=(TABLES,))
    deploy(place)
    user, database = place.wanted.user, place.wanted.database
    if rds.engine == POSTGRES:
        rds.ask(
            "CREATE SCHEMA other; CREATE TABLE other.t (id int); "
            "ALTER SCHEMA other OWNER TO portway; ALTER TABLE other.t OWNER TO portway;"
            f"SET ROLE portway; GRANT ALL ON SCHEMA messages, other TO {user}; "
            f"GRANT SELECT ON other.t TO {user}; GRANT TRUNCATE ON messages.received "
            f"TO {user} WITH GRANT OPTION; GRANT CREATE ON SCHEMA messages TO PUBLIC; "
            f"GRANT TEMPORARY ON DATABASE {database} TO {user}",
            database,
        )
        rds.ask(f"GRANT pg_read_all_data TO {user}; ALTER ROLE {user} CREATEDB")
        rds.ask(f"ALTER ROLE {MASTER} SUPERUSER")  # else it could not take these
    else:
        rds.ask(f"GRANT ALTER, DROP ON {database}.* TO {user}@'%' WITH GRANT OPTION")
        rds.ask(f"GRANT SELECT ON mysql.user TO {user}@'%'")
        rds.ask(f"GRANT PROCESS, SHOW DATABASES ON *.* TO {user}@'%'")
        rds.ask(f"GRANT SELECT ON `%`.* TO {user}@'%'")
    try:
        done = deploy(place)
        assert done
        assert all(text.startswith(("Revoke", "Take")) for text in done), done
        assert look(place) == ()
    finally:
        if rds.engine == POSTGRES:
            rds.ask(f"ALTER ROLE {MASTER} NOSUPERUSER")


def test_rights_that_are_missing_are_given(rds: RunningServer) -> None:
    place = rds.new_place(files=(TABLES, MORE))
    deploy(place)
    user = place.wanted.user
    if rds.engine == POSTGRES:
        rds.ask(
            f"SET ROLE {MASTER}; "
            f"REVOKE ALL ON ALL TABLES IN SCHEMA messages FROM {user}; "
            f"REVOKE ALL ON SCHEMA messages FROM {user}",
            place.wanted.database,
        )
        expected = [
            f"Grant USAGE on schema messages to {user}",
            "Grant SELECT, INSERT, UPDATE, DELETE on 2 tables (messages.more, "
            f"messages.received) to {user}",
        ]
    else:
        rds.ask(f"REVOKE INSERT ON {place.wanted.database}.* FROM {user}@'%'")
        expected = [f"Grant INSERT on database {place.wanted.database} to {user}"]
    assert deploy(place) == expected
    place.as_application("INSERT INTO more VALUES (1)")


def test_permission_that_the_master_lacks_is_told(rds: RunningServer) -> None:
    place = rds.new_place()
    deploy(place)
    if rds.engine == POSTGRES:
        rds.ask(f"ALTER ROLE {place.wanted.user} SUPERUSER")
        told = ["SUPERUSER", f"{MASTER} may not change the user", "nothing was touched"]
    else:
        rds.ask(f"GRANT FILE ON *.* TO {place.wanted.user}@'%'")
        told = ["FILE", f"{MASTER} lacks the permission"]
    with pytest.raises(PortwayError) as failure:
        deploy(place)
    assert all(words in failure.value.message for words in told)


def test_schema_of_another_owner_becomes_the_master_s(
    system_postgres: RunningServer,
) -> None:
    postgres = system_postgres
    place = postgres.new_place()
    user, database = place.wanted.user, place.wanted.database
    postgres.ask(f"SET ROLE {MASTER}; CREATE ROLE {user} LOGIN")
    postgres.ask(f"CREATE SCHEMA messages AUTHORIZATION {user}", database)
    done = deploy(place)
    assert f"Make {MASTER} the owner of the schema messages instead of {user}" in done
    assert look(place) == ()
    refused(place, "DROP SCHEMA messages")


def test_user_that_cannot_log_in_or_whose_password_expired_can_again(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place()
    deploy(place)
    user = place.wanted.user
    postgres.ask(f"ALTER ROLE {user} NOLOGIN VALID UNTIL '2001-01-01'")
    done = deploy(place)
    assert f"Set the password of the user {user} and let it log in" in done
    assert f"Let the password of the user {user} not expire" in done
    place.as_application("SELECT 1")
    assert look(place) == ()


def test_similar_database_names_are_told_apart_in_mysql(
    mysql_like: RunningServer,
) -> None:
    place = mysql_like.new_place()
    mine, similar = "in_box", "inXbox"
    for name in (mine, similar):
        mysql_like.ask(f"CREATE DATABASE {name}")
        mysql_like.ask(f"CREATE TABLE {name}.t (id int)")
    place.wanted = replace(place.wanted, database=mine, schema=mine)
    deploy(place)
    assert look(place) == ()
    place.as_application("SELECT * FROM t")
    refused(place, "SELECT * FROM t", similar)
