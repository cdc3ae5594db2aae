"""The database deploy's own work, with real servers: PostgreSQL and MariaDB."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pg8000.native
import pymysql
import pytest
from pydantic import SecretStr

from portway import database_session
from portway.database import POSTGRES, Difference
from portway.database_admin import (
    ROTATION_ATTEMPTS,
    Access,
    find_differences,
    master_session,
    put_right,
    read_database,
)
from portway.database_errors import Busy, LoginRefused
from portway.database_session import ATTEMPTS, Login, connect
from portway.errors import PortwayError, refuse_if_any
from portway.sql_files import file_problems
from portway.tunnel import Unreachable
from tests.integration.certificates import Authority
from tests.integration.database_servers import (
    HOST,
    MASTER,
    Place,
    RunningServer,
    running_mariadb,
    running_postgres,
    sql_file,
)

REFUSED = (pg8000.native.DatabaseError, pymysql.err.MySQLError)
TABLES = sql_file(
    "001_tables.sql",
    "-- the vendor's own\nCREATE TABLE received (id int PRIMARY KEY, body text);\n"
    "INSERT INTO received VALUES (1, 'a; b');\n",
)
MORE = sql_file("002_more.sql", "CREATE TABLE more (id int PRIMARY KEY);")


@pytest.fixture(scope="module")
def postgres() -> Iterator[RunningServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[RunningServer]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> RunningServer:
    chosen: RunningServer = request.getfixturevalue(request.param)
    return chosen


def look(place: Place, access: Access | None = None) -> tuple[Difference, ...]:
    """What a run would find to do; raises what it would refuse."""
    found = read_database(access or place.access(), place.wanted)
    refuse_if_any(file_problems("sql", place.wanted, found))
    return find_differences(place.wanted, found)


def deploy(place: Place, access: Access | None = None) -> list[str]:
    """Do what a run does, and say what that was."""
    access = access or place.access()
    found = look(place, access)
    for difference in found:
        put_right(access, place.wanted, difference, file_seconds=20)
    return [str(difference) for difference in found]


def refused(place: Place, statement: str, database: str | None = None) -> str:
    """What the server says to the application when it refuses; fails if it does not."""
    with pytest.raises(REFUSED) as refusal:
        place.as_application(statement, database)
    return str(refusal.value)


# --- From nothing to everything ------------------------------------------------


def test_first_run_makes_everything_and_the_second_changes_nothing(
    server: RunningServer,
) -> None:
    place = server.new_place(files=(TABLES, MORE))
    done = deploy(place)
    assert f"Create the user {place.wanted.user}" in done
    assert done[-2:] == ["Apply SQL file 001_tables.sql", "Apply SQL file 002_more.sql"]
    assert ("Create the schema messages" in done) == (server.engine == POSTGRES)
    assert look(place) == ()


def test_application_works_with_the_tables_of_the_sql_files(
    server: RunningServer,
) -> None:
    place = server.new_place(files=(TABLES,))
    deploy(place)
    place.as_application("INSERT INTO received VALUES (2, 'x')")
    place.as_application("UPDATE received SET body = 'y' WHERE id = 2")
    place.as_application("DELETE FROM received WHERE id = 1")
    rows = place.as_application("SELECT id, body FROM received")
    assert [tuple(row) for row in rows] == [(2, "y")]


def test_looking_changes_nothing(server: RunningServer) -> None:
    place = server.new_place(files=(TABLES,))
    first = look(place)
    assert first
    assert look(place) == first


def test_missing_database_is_made_first(server: RunningServer) -> None:
    place = server.new_place(files=(TABLES,))
    server.ask(f"DROP DATABASE {place.wanted.database}")
    done = deploy(place)
    assert done[0] == f"Create the database {place.wanted.database}"
    assert look(place) == ()
    place.as_application("SELECT * FROM received")


def test_names_that_need_quotes_are_quoted(server: RunningServer) -> None:
    place = server.new_place()
    database = place.wanted.database if server.engine == POSTGRES else "order"
    place.wanted = replace(
        place.wanted, schema="order", database=database, user="group", files=(TABLES,)
    )
    deploy(place)
    assert look(place) == ()
    place.as_application("SELECT * FROM received")


def test_interrupted_run_is_finished_by_the_next(server: RunningServer) -> None:
    place = server.new_place(files=(TABLES, MORE))
    found = look(place)
    for difference in found[: len(found) // 2]:
        put_right(place.access(), place.wanted, difference, file_seconds=20)
    assert deploy(place)[-1] == "Apply SQL file 002_more.sql"
    assert look(place) == ()


# --- Passwords -----------------------------------------------------------------


def test_rotated_password_is_applied_and_the_old_one_refused(
    server: RunningServer,
) -> None:
    place = server.new_place()
    deploy(place)
    old = replace(place)
    place.password = "rotated" + place.password
    refused(place, "SELECT 1")
    assert deploy(place) == [f"Set the password of the user {place.wanted.user}"]
    place.as_application("SELECT 1")
    refused(old, "SELECT 1")
    assert look(place) == ()


def test_no_password_is_in_the_server_s_log_of_statements(
    server: RunningServer,
) -> None:
    place = server.new_place(files=(TABLES,))
    deploy(place)
    first = place.password
    place.password = "rotated" + place.password
    deploy(place)
    logs = "".join(
        path.read_text(errors="replace") for path in server.folder.glob("*.log")
    )
    assert place.wanted.user in logs, "the log holds no statement at all"
    assert first not in logs


def test_master_password_rotated_meanwhile_is_read_again(
    server: RunningServer,
) -> None:
    place = server.new_place()
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
    server: RunningServer,
) -> None:
    place = server.new_place()
    pauses: list[float] = []
    access = place.access(master_password="quite wrong", sleep=pauses.append)
    with pytest.raises(LoginRefused) as refusal:
        look(place, access)
    assert len(pauses) == ROTATION_ATTEMPTS - 1
    assert "portway cannot log in" in refusal.value.message
    assert "through app-1" in refusal.value.message
    assert "quite wrong" not in refusal.value.message


# --- Connections ---------------------------------------------------------------


def test_silent_server_is_given_up(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_session, "LOGIN_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        access = server.new_place().access(
            open_stream=lambda: socket.create_connection(("127.0.0.1", port), 5)
        )
        started = time.monotonic()
        with pytest.raises(PortwayError, match="broke off"):
            connect(access.server, access.read_master(), "x")
        assert time.monotonic() - started < 5


def test_port_that_refuses_is_tried_a_few_times_and_told(
    server: RunningServer,
) -> None:
    place = server.new_place()
    tried: list[int] = []

    def refuse() -> socket.socket:
        tried.append(1)
        raise Unreachable("app-1 does not reach the database")

    with pytest.raises(Unreachable):
        look(place, place.access(open_stream=refuse))
    assert len(tried) == ATTEMPTS


def test_certificate_of_another_authority_is_refused(
    server: RunningServer, tmp_path: Path
) -> None:
    place = server.new_place()
    other = Authority(tmp_path, "another-authority").file
    with pytest.raises(PortwayError) as refusal:
        look(place, place.access(ca_file=other))
    assert "its TLS certificate cannot be trusted" in refusal.value.message
    assert str(other) in refusal.value.message
    assert "database_ca_file" in refusal.value.message


def test_certificate_of_another_host_is_refused(server: RunningServer) -> None:
    place = server.new_place()
    with pytest.raises(PortwayError, match=f"{HOST}|Hostname mismatch"):
        look(place, place.access(address="other.test"))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authority_file_that_is_none_is_refused(
    server: RunningServer, tmp_path: Path, content: str | None
) -> None:
    place, path = server.new_place(), tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PortwayError, match=r"database_ca_file: .*ca\.pem cannot be"):
        look(place, place.access(ca_file=path))


@contextmanager
def impostor(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that answers each connection so; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_server_without_tls_is_sent_no_login(server: RunningServer) -> None:
    received: list[bytes] = []

    def without_tls(connection: socket.socket) -> None:
        connection.settimeout(5)
        if server.engine == POSTGRES:
            received.append(connection.recv(100))
            connection.sendall(b"N")
        else:
            greeting = (
                b"\x0a5.5.5-10.11.0-MariaDB\0"
                + bytes(4)
                + b"saltsalt\0"
                # Capabilities of today, but for TLS (0x0800).
                + b"\xfe\xf7\x2d\x02\x00\xff\x81\x15"
                + bytes(10)
                + b"saltsaltsalt\0mysql_native_password\0"
            )
            connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
        with suppress(OSError):
            received.append(connection.recv(1000))

    with impostor(without_tls) as port:
        place = server.new_place()
        access = place.access(
            open_stream=lambda: socket.create_connection(("127.0.0.1", port), 5)
        )
        with pytest.raises(PortwayError, match="offers no TLS, so no password"):
            look(place, access)
        assert not any(MASTER.encode() in piece for piece in received)


def test_statement_that_takes_too_long_is_ended(server: RunningServer) -> None:
    place = server.new_place()
    sleep = "SELECT pg_sleep(60)" if server.engine == POSTGRES else "SELECT sleep(60)"
    with (
        pytest.raises(PortwayError, match=r"statement timeout|broke off"),
        master_session(place.access(), place.wanted.database, 0.5) as session,
    ):
        session.run(sleep, "sleeping")


# --- SQL files -----------------------------------------------------------------


def test_changed_file_that_was_applied_is_refused_before_anything(
    server: RunningServer,
) -> None:
    place = server.new_place(files=(TABLES,))
    deploy(place)
    changed = sql_file(TABLES.name, TABLES.text + "-- or not\n")
    place.wanted = replace(place.wanted, files=(changed, MORE))
    with pytest.raises(PortwayError, match=r"sql: 001_tables.sql: was changed after"):
        deploy(place)
    refused(place, "SELECT * FROM more")


def test_applied_file_that_is_missing_is_refused_with_what_to_do(
    server: RunningServer,
) -> None:
    place = server.new_place(files=(TABLES, MORE))
    deploy(place)
    place.wanted = replace(place.wanted, files=(MORE,))
    with pytest.raises(PortwayError) as refusal:
        look(place)
    assert "001_tables.sql: was applied on" in refusal.value.message
    statement = refusal.value.message.partition("forget it with ")[2]
    server.ask(statement, place.wanted.database if server.engine == POSTGRES else "")
    assert look(place) == ()


def test_new_file_before_an_applied_one_is_refused(server: RunningServer) -> None:
    place = server.new_place(files=(MORE,))
    deploy(place)
    place.wanted = replace(place.wanted, files=(TABLES, MORE))
    with pytest.raises(PortwayError, match=r"comes before 002_more\.sql"):
        look(place)


def test_file_whose_first_statement_fails_leaves_nothing_and_can_be_mended(
    server: RunningServer,
) -> None:
    broken = sql_file("002_more.sql", "\nCREATE TABLE;\n")
    place = server.new_place(files=(TABLES, broken))
    with pytest.raises(PortwayError) as failure:
        deploy(place)
    assert "SQL file 002_more.sql: refused" in failure.value.message
    assert "nothing of it was applied" in failure.value.message
    assert "line 2" in failure.value.message or server.engine != POSTGRES
    place.wanted = replace(place.wanted, files=(TABLES, MORE))
    assert deploy(place) == ["Apply SQL file 002_more.sql"]


def test_failing_file_leaves_nothing_half_done_in_postgres(
    postgres: RunningServer,
) -> None:
    half = sql_file("001.sql", "CREATE TABLE a (id int);\nCREATE TABLE a (id int);")
    place = postgres.new_place(files=(half,))
    with pytest.raises(PortwayError, match="nothing of it was applied"):
        deploy(place)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'messages'"
    assert postgres.ask(tables, place.wanted.database)[0][0] == 0
    assert [str(left) for left in look(place)] == ["Apply SQL file 001.sql"]


def test_file_that_fails_half_way_is_not_begun_again_in_mariadb(
    mariadb: RunningServer,
) -> None:
    half = sql_file("001.sql", "CREATE TABLE a (id int);\nCREATE TABLE a (id int);")
    place = mariadb.new_place(files=(half,))
    with pytest.raises(PortwayError, match="what stands before that is in force") as e:
        deploy(place)
    with pytest.raises(PortwayError, match=r"begun on .* and never finished"):
        look(place)
    # The way out that the error tells leads out.
    mariadb.ask("DROP TABLE a", place.wanted.database)
    mariadb.ask(e.value.message.partition("run ")[2].partition(", mend")[0])
    whole = sql_file("001.sql", "CREATE TABLE a (id int)")
    place.wanted = replace(place.wanted, files=(whole,))
    deploy(place)
    assert look(place) == ()


def test_file_with_the_word_delimiter_is_applied_in_mariadb(
    mariadb: RunningServer,
) -> None:
    text = (
        "CREATE TABLE a (id int);\nDELIMITER $$\n"
        "CREATE PROCEDURE fill() BEGIN INSERT INTO a VALUES (1); "
        "INSERT INTO a VALUES (2); END$$\nDELIMITER ;\nCALL fill();\n"
    )
    place = mariadb.new_place(files=(sql_file("001.sql", text),))
    deploy(place)
    place.as_application("CALL fill()")
    assert len(place.as_application("SELECT * FROM a")) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BEGIN; CREATE TABLE a (id int); COMMIT;", "BEGIN"),
        ("CREATE TABLE a (id int); -- x\ncommit;", "COMMIT"),
        ("COPY a (id) FROM stdin;\n1\n\\.\n", "COPY FROM stdin"),
        ("\\connect other\nSELECT 1;", r"\connect"),
    ],
)
def test_file_that_cannot_be_one_transaction_is_refused_before_anything(
    postgres: RunningServer, text: str, words: str
) -> None:
    place = postgres.new_place(files=(sql_file("001.sql", text),))
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    assert words in refusal.value.message
    roles = f"SELECT count(*) FROM pg_roles WHERE rolname = '{place.wanted.user}'"
    assert postgres.ask(roles)[0][0] == 0


def test_file_that_ends_its_transaction_unseen_is_told_and_not_recorded_as_done(
    postgres: RunningServer,
) -> None:
    text = "CREATE TABLE a (id int); END; CREATE TABLE b (id int);"
    place = postgres.new_place(files=(sql_file("001.sql", text),))
    with pytest.raises(PortwayError, match="ended the transaction"):
        deploy(place)
    with pytest.raises(PortwayError, match="never finished"):
        look(place)


def test_functions_with_semicolons_inside_are_applied_in_postgres(
    postgres: RunningServer,
) -> None:
    text = (
        "CREATE TABLE a (id serial PRIMARY KEY, note text DEFAULT 'COMMIT; or not');\n"
        "CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS $body$\n"
        "BEGIN\n  INSERT INTO a DEFAULT VALUES; RETURN 1;\nEND\n$body$;\n"
        "CREATE FUNCTION two() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;\n"
    )
    place = postgres.new_place(files=(sql_file("001.sql", text),))
    deploy(place)
    assert place.as_application("SELECT one()") == [[1]]
    assert look(place) == ()


def test_two_runs_at_once_apply_a_file_once(server: RunningServer) -> None:
    slow = sql_file(
        "001.sql",
        "CREATE TABLE a (id int); "
        + ("SELECT pg_sleep(1);" if server.engine == POSTGRES else "DO sleep(1);"),
    )
    place = server.new_place()
    deploy(place)
    place.wanted = replace(place.wanted, files=(slow,))
    *before, apply = look(place)
    for difference in before:
        put_right(place.access(), place.wanted, difference, file_seconds=20)
    outcomes: list[Any] = []

    def run() -> None:
        try:
            put_right(place.access(), place.wanted, apply, file_seconds=20)
            outcomes.append("applied")
        except PortwayError as error:
            outcomes.append(error.message)

    runs = [threading.Thread(target=run) for _ in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert sorted(outcome == "applied" for outcome in outcomes) == [False, True]
    assert look(place) == ()


# --- Drift ---------------------------------------------------------------------


def test_rights_beyond_the_wanted_are_taken_away(server: RunningServer) -> None:
    place = server.new_place(files=(TABLES,))
    deploy(place)
    user, database = place.wanted.user, place.wanted.database
    if server.engine == POSTGRES:
        server.ask(
            "CREATE SCHEMA other; CREATE TABLE other.t (id int); "
            "ALTER SCHEMA other OWNER TO portway; ALTER TABLE other.t OWNER TO portway;"
            f"SET ROLE portway; GRANT ALL ON SCHEMA messages, other TO {user}; "
            f"GRANT SELECT ON other.t TO {user}; GRANT TRUNCATE ON messages.received "
            f"TO {user} WITH GRANT OPTION; GRANT CREATE ON SCHEMA messages TO PUBLIC; "
            f"GRANT TEMPORARY ON DATABASE {database} TO {user}",
            database,
        )
        server.ask(f"GRANT pg_read_all_data TO {user}; ALTER ROLE {user} CREATEDB")
        server.ask(f"ALTER ROLE {MASTER} SUPERUSER")  # else it could not take these
    else:
        server.ask(f"GRANT ALTER, DROP ON {database}.* TO {user}@'%' WITH GRANT OPTION")
        server.ask(f"GRANT SELECT ON mysql.user TO {user}@'%'")
        server.ask(f"GRANT PROCESS, SHOW DATABASES ON *.* TO {user}@'%'")
        server.ask(f"GRANT SELECT ON `%`.* TO {user}@'%'")
    try:
        done = deploy(place)
        assert done
        assert all(text.startswith(("Revoke", "Take")) for text in done), done
        assert look(place) == ()
    finally:
        if server.engine == POSTGRES:
            server.ask(f"ALTER ROLE {MASTER} NOSUPERUSER")


def test_rights_that_are_missing_are_given(server: RunningServer) -> None:
    place = server.new_place(files=(TABLES, MORE))
    deploy(place)
    user = place.wanted.user
    if server.engine == POSTGRES:
        server.ask(
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
        server.ask(f"REVOKE INSERT ON {place.wanted.database}.* FROM {user}@'%'")
        expected = [f"Grant INSERT on database {place.wanted.database} to {user}"]
    assert deploy(place) == expected
    place.as_application("INSERT INTO more VALUES (1)")


def test_permission_that_the_master_lacks_is_told(server: RunningServer) -> None:
    place = server.new_place()
    deploy(place)
    if server.engine == POSTGRES:
        server.ask(f"ALTER ROLE {place.wanted.user} SUPERUSER")
        told = "SUPERUSER"
    else:
        server.ask(f"GRANT FILE ON *.* TO {place.wanted.user}@'%'")
        told = "FILE"
    with pytest.raises(PortwayError) as failure:
        deploy(place)
    assert told in failure.value.message
    assert f"{MASTER} lacks the permission" in failure.value.message


def test_schema_of_another_owner_becomes_the_master_s(postgres: RunningServer) -> None:
    place = postgres.new_place()
    user, database = place.wanted.user, place.wanted.database
    postgres.ask(f"CREATE ROLE {user} LOGIN PASSWORD '{place.password}'")
    postgres.ask(f"CREATE SCHEMA messages AUTHORIZATION {user}", database)
    # The way of RDS: a master that is a member of the roles it administers.
    postgres.ask(f"GRANT {user} TO {MASTER}")
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
    assert f"Let the user {user} log in" in done
    assert f"Let the password of the user {user} not expire" in done
    place.as_application("SELECT 1")
    assert look(place) == ()


def test_similar_database_names_are_told_apart_in_mariadb(
    mariadb: RunningServer,
) -> None:
    place = mariadb.new_place()
    mine, similar = "in_box", "inXbox"
    for name in (mine, similar):
        mariadb.ask(f"CREATE DATABASE {name}")
        mariadb.ask(f"CREATE TABLE {name}.t (id int)")
    place.wanted = replace(place.wanted, database=mine, schema=mine)
    deploy(place)
    assert look(place) == ()
    place.as_application("SELECT * FROM t")
    refused(place, "SELECT * FROM t", similar)


# --- Least privilege -----------------------------------------------------------

POSTGRES_ATTEMPTS = [
    "CREATE ROLE helper",
    "CREATE DATABASE mine",
    "CREATE SCHEMA mine",
    "CREATE TABLE messages.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE FUNCTION messages.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP SCHEMA messages CASCADE",
    "DROP TABLE messages.received",
    "TRUNCATE messages.received",
    "ALTER TABLE messages.received ADD COLUMN x int",
    "ALTER TABLE messages.received OWNER TO CURRENT_USER",
    "ALTER SCHEMA messages OWNER TO CURRENT_USER",
    "ALTER SCHEMA messages RENAME TO mine",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER ROLE portway NOLOGIN",
    "ALTER ROLE portway PASSWORD 'x'",
    "GRANT portway TO CURRENT_USER",
    "GRANT pg_read_all_data TO CURRENT_USER",
    "SET ROLE portway",
    "SET SESSION AUTHORIZATION portway",
    "ALTER DEFAULT PRIVILEGES FOR ROLE portway GRANT ALL ON TABLES TO PUBLIC",
    "SELECT * FROM other.secret",
    "SELECT * FROM portway.sql_files",
    "DELETE FROM portway.sql_files",
    "SELECT rolpassword FROM pg_authid",
    "COPY messages.received TO PROGRAM 'cat'",
    "COPY messages.received FROM PROGRAM 'id'",
    "COPY messages.received FROM '/etc/passwd'",
    "COPY messages.received TO '/tmp/portway-must-not-exist'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "CREATE EXTENSION file_fdw",
    "ALTER SYSTEM SET log_statement = 'none'",
    "SELECT pg_reload_conf()",
    "DO LANGUAGE plpython3u 'import os'",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
]


@pytest.fixture(scope="module")
def postgres_place(postgres: RunningServer) -> Place:
    place = postgres.new_place(files=(TABLES,))
    deploy(place)
    postgres.ask(
        "CREATE SCHEMA other; CREATE TABLE other.secret (id int)", place.wanted.database
    )
    return place


@pytest.mark.parametrize("statement", POSTGRES_ATTEMPTS)
def test_application_may_not_in_postgres(postgres_place: Place, statement: str) -> None:
    reason = refused(postgres_place, statement)
    assert any(
        code in reason
        for code in ("42501", "42704", "42501", "0A000", "42P01", "42601")
    ), reason
    assert look(postgres_place) == ()


def test_application_cannot_give_or_take_rights_in_postgres(
    postgres_place: Place,
) -> None:
    """PostgreSQL answers these with a warning, so what counts is the effect."""
    for statement in (
        "REVOKE ALL ON SCHEMA messages FROM portway",
        "GRANT ALL ON SCHEMA messages TO PUBLIC",
        "GRANT SELECT ON messages.received TO PUBLIC",
        "REVOKE ALL ON messages.received FROM portway",
    ):
        with suppress(*REFUSED):
            postgres_place.as_application(statement)
    acl = postgres_place.server.ask(
        "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'messages' UNION ALL "
        "SELECT relacl::text FROM pg_class WHERE relname = 'received'",
        postgres_place.wanted.database,
    )
    assert not any("{=" in row[0] or ",=" in row[0] for row in acl), acl
    assert all("portway=" in row[0] for row in acl), acl


def test_application_cannot_enter_the_database_of_another(
    postgres_place: Place, postgres: RunningServer
) -> None:
    neighbour = postgres.new_place()
    deploy(neighbour)
    assert "42501" in refused(postgres_place, "SELECT 1", neighbour.wanted.database)


def test_table_making_application_makes_tables_and_nothing_else_in_postgres(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place(creates_tables=True, files=(TABLES,))
    deploy(place)
    place.as_application("CREATE TABLE mine (id serial)")
    place.as_application("CREATE TEMPORARY TABLE mine (id int)")
    assert look(place) == ()
    refused(place, "DROP TABLE messages.received")
    refused(place, "DROP SCHEMA messages CASCADE")
    refused(place, "CREATE TABLE public.mine (id int)")
    place.wanted = replace(place.wanted, creates_tables=False)
    assert deploy(place)
    refused(place, "CREATE TABLE another (id int)")


MARIADB_ATTEMPTS = [
    "CREATE USER helper",
    "CREATE ROLE helper",
    "CREATE DATABASE mine",
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE VIEW mine AS SELECT * FROM received",
    "CREATE FUNCTION f() RETURNS int RETURN 1",
    "CREATE TRIGGER t BEFORE INSERT ON received FOR EACH ROW SET NEW.id = 1",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "DROP DATABASE {database}",
    "DROP TABLE received",
    "TRUNCATE received",
    "ALTER TABLE received ADD COLUMN x int",
    "RENAME TABLE received TO mine",
    "CREATE INDEX i ON received (id)",
    "GRANT SELECT ON {database}.* TO portway",
    "REVOKE ALL ON *.* FROM portway",
    "ALTER USER portway ACCOUNT LOCK",
    "SET PASSWORD FOR portway = PASSWORD('x')",
    "DROP USER portway",
    "SELECT * FROM mysql.user",
    "SELECT * FROM mysql.global_priv",
    "SELECT * FROM other.secret",
    "SELECT * FROM portway.sql_files",
    "DELETE FROM portway.sql_files",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE received",
    "SELECT * FROM received INTO OUTFILE '/tmp/portway-must-not-exist'",
    "SET GLOBAL general_log = 0",
    "FLUSH TABLES",
    "SHUTDOWN",
    "INSTALL SONAME 'ha_connect'",
    "SHOW GRANTS FOR portway",
    "SHOW BINARY LOGS",
]


@pytest.fixture(scope="module")
def mariadb_place(mariadb: RunningServer) -> Place:
    place = mariadb.new_place(files=(TABLES,))
    deploy(place)
    mariadb.ask("CREATE DATABASE other")
    mariadb.ask("CREATE TABLE other.secret (id int)")
    return place


@pytest.mark.parametrize("statement", MARIADB_ATTEMPTS)
def test_application_may_not_in_mariadb(mariadb_place: Place, statement: str) -> None:
    text = statement.format(database=mariadb_place.wanted.database)
    assert "denied" in refused(mariadb_place, text)
    assert look(mariadb_place) == ()


def test_application_reads_no_file_in_mariadb(mariadb_place: Place) -> None:
    assert mariadb_place.as_application("SELECT load_file('/etc/passwd')") == ((None,),)


def test_table_making_application_makes_tables_and_nothing_else_in_mariadb(
    mariadb: RunningServer,
) -> None:
    place = mariadb.new_place(creates_tables=True, files=(TABLES,))
    deploy(place)
    place.as_application("CREATE TABLE mine (id int)")
    assert look(place) == ()
    refused(place, f"DROP DATABASE {place.wanted.database}")
    refused(place, "GRANT SELECT ON mine TO portway")


def test_busy_server_is_told(postgres: RunningServer) -> None:
    place = postgres.new_place()
    postgres.ask(f"ALTER DATABASE {place.wanted.database} CONNECTION LIMIT 0")
    with pytest.raises(Busy, match="takes no connection just now"):
        look(place)
