"""SQL files for PostgreSQL whose statements no transaction can hold, and dumps."""

from dataclasses import replace

import pytest

from portway.errors import PortwayError
from tests.integration.database.places import Place, RunningServer, sql_file
from tests.integration.database.runs import TABLES, deploy, look

INDEX = "CREATE INDEX CONCURRENTLY by_body ON received (body);"


@pytest.fixture
def place(postgres: RunningServer) -> Place:
    place = postgres.new_place(files=(TABLES,))
    deploy(place)
    return place


def add(place: Place, *texts: str) -> None:
    """More files."""
    files = (sql_file(f"{n:03}.sql", text) for n, text in enumerate(texts, 2))
    place.wanted = replace(place.wanted, files=(TABLES, *files))


def indexes(place: Place, valid: bool = True) -> list[str]:
    rows = place.server.ask(
        "SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid "
        f"WHERE relname LIKE 'by_%' AND indisvalid = {valid} ORDER BY 1",
        place.wanted.database,
    )
    return [row[0] for row in rows]


def test_what_no_transaction_can_hold_is_applied_from_a_file_of_its_own(
    place: Place,
) -> None:
    add(
        place,
        f"-- an index; and its statistics\n{INDEX}\n"
        'CREATE UNIQUE INDEX CONCURRENTLY "by ;id" ON messages.received (id);\n'
        "VACUUM (ANALYZE) received;\nREINDEX INDEX CONCURRENTLY by_body;\n"
        'REINDEX SCHEMA messages;\nDROP INDEX CONCURRENTLY "by ;id";\n',
        "DO $$ BEGIN INSERT INTO received VALUES (7, 'x'); COMMIT; END $$;",
        "ALTER TYPE mood ADD VALUE 'bad';",
    )
    place.server.ask(
        "CREATE TYPE messages.mood AS ENUM ('good'); "
        "ALTER TYPE messages.mood OWNER TO portway",
        place.wanted.database,
    )
    deploy(place)
    assert look(place) == ()
    assert indexes(place) == ["by_body"]
    assert place.as_application("SELECT body FROM received WHERE id = 7") == [["x"]]


UNFIT = {
    f"CREATE TABLE a (id int);\n{INDEX}": "has CREATE INDEX CONCURRENTLY, which no",
    "CREATE TABLE a (id int);\nVACUUM;": "has VACUUM, which no transaction can hold",
    "DO $$ BEGIN COMMIT; END $$; SELECT 1": "has DO with a COMMIT, which no",
    "ALTER TYPE mood ADD VALUE 'bad';\nINSERT INTO felt VALUES ('bad');": (
        "adds the value 'bad' to a type and uses it"
    ),
    "ALTER TYPE messages.mood ADD VALUE IF NOT EXISTS 'bad' BEFORE 'good';\n"
    "DO $$ BEGIN INSERT INTO felt VALUES ('bad'); END $$;": (
        "adds the value 'bad' to a type and uses it"
    ),
    "CREATE DATABASE more": "has CREATE DATABASE, which concerns more than",
    "ALTER SYSTEM SET work_mem = '1GB'": "has ALTER SYSTEM, which concerns more than",
    "CREATE TABLE a (id int);\nALTER TABLE a OWNER TO vendor;": (
        "gives what it makes to vendor, but it must belong to portway"
    ),
    "CREATE SCHEMA messages;": "makes the schema messages, which is there already",
}


def test_what_cannot_be_applied_is_told_before_anything(place: Place) -> None:
    add(place, "CREATE TABLE before (id int)", *UNFIT)
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    lines = refusal.value.message.splitlines()[1:]
    assert len(lines) == len(UNFIT)
    for line, (number, told) in zip(lines, enumerate(UNFIT.values(), 3), strict=True):
        assert f"{number:03}.sql: {told}" in line
    tables = "SELECT count(*) FROM pg_class WHERE relname = 'before'"
    assert place.server.ask(tables, place.wanted.database)[0][0] == 0


def test_value_that_a_file_adds_may_be_used_by_the_next(place: Place) -> None:
    """And in the same file by a function that is called later."""
    add(
        place,
        "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE felt (how mood);\n"
        "INSERT INTO felt VALUES ('good');",
        "ALTER TYPE mood ADD VALUE 'bad'; -- 'bad' as such\n"
        "CREATE FUNCTION f() RETURNS mood LANGUAGE plpgsql AS $$ BEGIN RETURN 'bad'; "
        "END $$;",
        "INSERT INTO felt VALUES ('bad');",
    )
    deploy(place)
    assert look(place) == ()
    assert place.as_application("SELECT f() FROM felt") == [["bad"], ["bad"]]


def test_first_statement_that_fails_alone_leaves_nothing(place: Place) -> None:
    add(place, "CREATE INDEX CONCURRENTLY by_x ON received (no_column);")
    with pytest.raises(PortwayError, match="nothing of it was applied"):
        deploy(place)
    assert [str(left) for left in look(place)] == ["Apply SQL file 002.sql"]


def test_index_that_fails_half_way_is_named_with_the_way_out(place: Place) -> None:
    place.as_application("INSERT INTO received VALUES (2, 'same'), (3, 'same')")
    unique = "CREATE UNIQUE INDEX CONCURRENTLY by_same ON received (body);"
    add(place, f"{INDEX}\n{unique}")
    with pytest.raises(PortwayError) as failure:
        deploy(place)
    assert "an invalid index is left behind" in failure.value.message
    assert indexes(place, valid=False) == ["by_same"]
    with pytest.raises(PortwayError, match=r"begun on .* and never finished"):
        look(place)
    # The way out that the error tells leads out.
    lines = [line.strip() for line in failure.value.message.splitlines()]
    for line in lines:
        if line.startswith(("DROP", "DELETE")):
            place.server.ask(line, place.wanted.database)
    assert indexes(place, valid=False) == []
    place.server.ask("DROP INDEX messages.by_body", place.wanted.database)
    add(place, INDEX)
    deploy(place)
    assert look(place) == ()
