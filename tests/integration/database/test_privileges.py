"""What the application may not do, as real servers judge it."""

from contextlib import suppress
from dataclasses import replace

import pytest

from portway.database.errors import Busy
from tests.integration.database.places import (
    Place,
    RunningServer,
)
from tests.integration.database.runs import REFUSED, TABLES, deploy, look, refused

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


MYSQL_ATTEMPTS = [
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
    "ALTER USER portway IDENTIFIED BY 'x'",
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
    "INSTALL PLUGIN x SONAME 'x.so'",
    "SHOW GRANTS FOR portway",
    "SHOW BINARY LOGS",
]


@pytest.fixture(scope="module")
def mysql_place(mysql_like: RunningServer) -> Place:
    place = mysql_like.new_place(files=(TABLES,))
    deploy(place)
    mysql_like.ask("CREATE DATABASE IF NOT EXISTS other")
    mysql_like.ask("CREATE TABLE IF NOT EXISTS other.secret (id int)")
    return place


@pytest.mark.parametrize("statement", MYSQL_ATTEMPTS)
def test_application_may_not_in_mysql(mysql_place: Place, statement: str) -> None:
    text = statement.format(database=mysql_place.wanted.database)
    reason = refused(mysql_place, text)
    # A server with a binary log looks for SUPER before it looks for TRIGGER.
    assert "denied" in reason or "the SUPER privilege" in reason
    assert look(mysql_place) == ()


def test_application_reads_no_file_in_mysql(mysql_place: Place) -> None:
    assert mysql_place.as_application("SELECT load_file('/etc/passwd')") == ((None,),)


def test_table_making_application_makes_tables_and_nothing_else_in_mysql(
    mysql_like: RunningServer,
) -> None:
    place = mysql_like.new_place(creates_tables=True, files=(TABLES,))
    deploy(place)
    place.as_application("CREATE TABLE mine (id int)")
    assert look(place) == ()
    refused(place, f"DROP DATABASE {place.wanted.database}")
    refused(place, "GRANT SELECT ON mine TO portway")


def test_busy_server_is_told(postgres: RunningServer) -> None:
    place = postgres.new_place()
    postgres.ask(f"ALTER DATABASE {place.wanted.database} CONNECTION LIMIT 0")
    with pytest.raises(Busy, match="takes no connection at the moment"):
        look(place)
