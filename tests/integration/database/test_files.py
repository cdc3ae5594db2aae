"""The vendor's SQL files, applied once each by real servers."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from portway.database.admin import apply
from portway.database.state import POSTGRES
from portway.errors import PortwayError
from tests.integration.database.places import (
    RunningServer,
    sql_file,
)
from tests.integration.database.runs import MORE, TABLES, deploy, look, refused


def test_changed_file_that_was_applied_is_refused_before_anything(
    rds: RunningServer,
) -> None:
    place = rds.new_place(files=(TABLES,))
    deploy(place)
    changed = sql_file(TABLES.name, TABLES.text + "-- or not\n")
    place.wanted = replace(place.wanted, files=(changed, MORE))
    with pytest.raises(PortwayError, match=r"sql: 001_tables.sql: was changed after"):
        deploy(place)
    refused(place, "SELECT * FROM more")


def test_applied_file_that_is_missing_is_refused_with_what_to_do(
    rds: RunningServer,
) -> None:
    place = rds.new_place(files=(TABLES, MORE))
    deploy(place)
    place.wanted = replace(place.wanted, files=(MORE,))
    with pytest.raises(PortwayError) as refusal:
        look(place)
    assert "001_tables.sql: was applied on" in refusal.value.message
    statement = refusal.value.message.partition("forget it with ")[2]
    rds.ask(statement, place.wanted.database if rds.engine == POSTGRES else "")
    assert look(place) == ()


def test_new_file_before_an_applied_one_is_refused(rds: RunningServer) -> None:
    place = rds.new_place(files=(MORE,))
    deploy(place)
    place.wanted = replace(place.wanted, files=(TABLES, MORE))
    with pytest.raises(PortwayError, match=r"comes before 002_more\.sql"):
        look(place)


def test_file_whose_first_statement_fails_leaves_nothing_and_can_be_mended(
    rds: RunningServer,
) -> None:
    broken = sql_file("002_more.sql", "\nCREATE TABLE;\n")
    place = rds.new_place(files=(TABLES, broken))
    with pytest.raises(PortwayError) as failure:
        deploy(place)
    assert "SQL file 002_more.sql: refused" in failure.value.message
    assert "nothing of it was applied" in failure.value.message
    assert "line 2" in failure.value.message or rds.engine != POSTGRES
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


DUMP = r"""
--
-- PostgreSQL database dump
--

\restrict dG9rZW4

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION {schema}.twice(n integer) RETURNS integer
    LANGUAGE sql AS $_$
\restrict stays
SELECT 2 * n $_$;
CREATE TABLE {schema}.pay (id integer NOT NULL);
CREATE TYPE {schema}.mood AS ENUM ('good');

\unrestrict dG9rZW4
"""


def test_dump_is_applied_if_it_keeps_to_the_schema(postgres: RunningServer) -> None:
    """Newer versions of pg_dump write commands for psql around it."""
    body = DUMP.replace("\\restrict stays\n", "")
    dump = sql_file("001.sql", body.format(schema="messages"))
    place = postgres.new_place(files=(dump, MORE))
    deploy(place)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'messages'"
    assert postgres.ask(tables, place.wanted.database)[0][0] == 2


def test_command_of_psql_in_a_function_stays(postgres: RunningServer) -> None:
    dump = sql_file("001.sql", DUMP.format(schema="messages"))
    with pytest.raises(PortwayError, match="syntax error"):
        deploy(postgres.new_place(files=(dump,)))


def test_dump_of_another_schema_is_refused_whole(postgres: RunningServer) -> None:
    """Everything of it would be where the application has no right."""
    body = DUMP.replace("\\restrict stays\n", "")
    place = postgres.new_place(
        files=(sql_file("001.sql", body.format(schema="public")),)
    )
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    told = "function public.twice, table public.pay, type public.mood"
    assert told in refusal.value.message
    assert "nothing of the file was applied" in refusal.value.message
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgres.ask(tables, place.wanted.database)[0][0] == 0
    assert [str(left) for left in look(place)] == ["Apply SQL file 001.sql"]


def test_extension_may_be_where_it_wants(postgres: RunningServer) -> None:
    text = "CREATE SCHEMA tools; CREATE EXTENSION pg_trgm SCHEMA tools;"
    place = postgres.new_place(files=(sql_file("001.sql", text),))
    deploy(place)
    assert look(place) == ()


def test_file_that_fails_half_way_is_not_begun_again_in_mysql(
    mysql_like: RunningServer,
) -> None:
    half = sql_file("001.sql", "CREATE TABLE a (id int);\nCREATE TABLE a (id int);")
    place = mysql_like.new_place(files=(half,))
    with pytest.raises(
        PortwayError, match="the statements before it have taken effect"
    ) as e:
        deploy(place)
    with pytest.raises(PortwayError, match=r"begun on .* and never finished"):
        look(place)
    # The way out that the error tells leads out.
    mysql_like.ask("DROP TABLE a", place.wanted.database)
    mysql_like.ask(e.value.message.partition("run ")[2].partition(", fix")[0])
    whole = sql_file("001.sql", "CREATE TABLE a (id int)")
    place.wanted = replace(place.wanted, files=(whole,))
    deploy(place)
    assert look(place) == ()


def test_file_with_the_word_delimiter_is_applied_in_mysql(
    mysql_like: RunningServer,
) -> None:
    text = (
        "CREATE TABLE a (id int);\nDELIMITER $$\n"
        "CREATE PROCEDURE fill() BEGIN INSERT INTO a VALUES (1); "
        "INSERT INTO a VALUES (2); END$$\nDELIMITER ;\nCALL fill();\n"
    )
    place = mysql_like.new_place(files=(sql_file("001.sql", text),))
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


def test_two_runs_at_once_apply_a_file_once(rds: RunningServer) -> None:
    slow = sql_file(
        "001.sql",
        "CREATE TABLE a (id int); "
        + ("SELECT pg_sleep(1);" if rds.engine == POSTGRES else "DO sleep(1);"),
    )
    place = rds.new_place()
    deploy(place)
    place.wanted = replace(place.wanted, files=(slow,))
    *before, last = look(place)
    for difference in before:
        apply(place.access(), place.wanted, difference, file_seconds=20)
    outcomes: list[Any] = []

    def run() -> None:
        try:
            apply(place.access(), place.wanted, last, file_seconds=20)
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
