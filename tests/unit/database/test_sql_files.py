"""Reading the vendor's SQL files, and refusing what cannot be applied."""

import hashlib
from pathlib import Path

import pytest

from portway.database.mysql.splitting import batches
from portway.database.postgres.scripts import file_problem
from portway.database.sql_files import file_problems, passed_over, read_sql_files
from portway.database.state import (
    MARIADB,
    POSTGRES,
    AppliedFile,
    FoundDatabase,
    SqlFile,
    WantedDatabase,
)
from portway.errors import PortwayError


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("010_c.sql", "002_b.sql", "001_a.sql", "README.md"):
        (tmp_path / name).write_text(f"-- {name}")
    names = [file.name for file in read_sql_files(tmp_path)]
    assert names == ["001_a.sql", "002_b.sql", "010_c.sql"]


def test_numbers_in_names_count_as_numbers(tmp_path: Path) -> None:
    names = ["V1__base.sql", "V2__a.sql", "V2.1__b.sql", "V010__c.sql", "V10__c.sql"]
    for name in reversed(names):
        (tmp_path / name).write_text("SELECT 1")
    assert [file.name for file in read_sql_files(tmp_path)] == names


def test_what_looks_like_an_sql_file_and_is_not_applied_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub").mkdir()
    others = ("002.SQL", "V5.sql.gz", "old.sql.bak", "sub/V4.sql")
    for name in ("001.sql", "README.md", "mysql.conf", *others):
        (tmp_path / name).write_text("SELECT 1")
    assert passed_over(tmp_path) == others


def test_sum_is_of_the_bytes_and_text_without_byte_order_mark(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbfSELECT 1"
    (tmp_path / "a.sql").write_bytes(content)
    (file,) = read_sql_files(tmp_path)
    assert file.text == "SELECT 1"
    assert file.sha256 == hashlib.sha256(content).hexdigest()


WANTED = WantedDatabase(POSTGRES, "main", "messages", "application")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a b.sql", b"SELECT 1", "rename it"),
        ("it's.sql", b"SELECT 1", "rename it"),
        ("a.sql", b"\xff\xfe", "not UTF-8"),
        ("a.sql", b" \n", "is empty"),
    ],
)
def test_unfit_file_is_refused(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PortwayError, match=told) as refusal:
        read_sql_files(tmp_path)
    assert name in str(refusal.value)


@pytest.mark.parametrize("folder", [".", "missing"])
def test_folder_without_files_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(PortwayError, match="database_sql_dir"):
        read_sql_files(tmp_path / folder)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE commits (begin_at text DEFAULT 'x; COMMIT;');",
        "-- COMMIT;\n/* ; ROLLBACK; */ SELECT 1;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN; COMMIT; $$;",
        "DO $x$ BEGIN PERFORM $$ ; COMMIT; $$; END $x$;",
        "SAVEPOINT a; ROLLBACK TO SAVEPOINT a; ROLLBACK WORK TO a;",
        r"SELECT E'it\'s; COMMIT;'; SELECT 'C:\'; SELECT 'x';",
        'ALTER TABLE ";COMMIT;" ADD x int',
        "CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1; END;",
        "COPY a TO STDOUT",
        "-- VACUUM;\nCREATE TABLE vacuum_log (vacuum text DEFAULT 'VACUUM;');",
        "CREATE INDEX concurrently_made ON a (b); CREATE TABLE b (id int);",
        "REINDEX TABLE a; CLUSTER a USING i; REFRESH MATERIALIZED VIEW CONCURRENTLY v;",
        "CREATE INDEX CONCURRENTLY i ON a (b); DROP INDEX CONCURRENTLY j;",
        "VACUUM;\n-- the end\n",
        "ALTER TYPE t ADD VALUE 'a'; ALTER TYPE t ADD VALUE 'b' AFTER 'a'; -- 'b'",
        'ALTER TABLE a OWNER TO CURRENT_USER; ALTER TABLE a OWNER TO "portway";',
        "SELECT 'OWNER TO vendor'; -- OWNER TO vendor",
        "CREATE SCHEMA IF NOT EXISTS messages; CREATE SCHEMA messages_old;",
    ],
)
def test_what_only_looks_like_a_transaction_is_let_through(text: str) -> None:
    assert file_problem(SqlFile("a.sql", "", text), WANTED, "portway") is None


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN;",
        "begin work; SELECT 1",
        "START  TRANSACTION;",
        "SELECT 1; COMMIT",
        "SELECT 'a'; /* x */ Rollback;",
        "ABORT;",
        "PREPARE TRANSACTION 'x';",
        "COPY a (b, c) FROM stdin;",
        "\\i other.sql",
        "SELECT 1;\n  \\connect other",
        "REINDEX (VERBOSE) DATABASE main; SELECT 1",
        "reindex table concurrently a; SELECT 1",
        "CLUSTER; SELECT 1",
        "ALTER TABLE a DETACH PARTITION b CONCURRENTLY; SELECT 1",
        "drop tablespace fast",
        "ALTER DATABASE main SET TABLESPACE fast",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        'CREATE SCHEMA "messages"',
        'ALTER TABLE a OWNER TO "Vendor"',
    ],
)
def test_what_would_leave_its_transaction_is_refused(text: str) -> None:
    assert file_problem(SqlFile("a.sql", "", text), WANTED, "portway")


def problems(engine: str, *files: SqlFile, **applied: AppliedFile) -> list[str]:
    wanted = WantedDatabase(engine, "m", "m", "application", files=files)
    recorded = {f"{name}.sql": file for name, file in applied.items()}
    found = FoundDatabase("portway", exists=True, applied=recorded)
    return [str(problem) for problem in file_problems("sql", wanted, found)]


DONE = AppliedFile("1", finished=True, at="2026-01-02")
BEGUN = AppliedFile("1", finished=False, at="2026-01-02")


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        POSTGRES,
        SqlFile("b.sql", "2", ""),
        SqlFile("c.sql", "1", ""),
        SqlFile("a.sql", "1", ""),
        a0=DONE,
        b=DONE,
        c=BEGUN,
    )
    assert [text.partition(":")[0] for text in found] == ["sql"] * 4
    assert "b.sql: was changed after it had been applied on 2026-01-02" in found[0]
    assert "c.sql: was begun on 2026-01-02 and never finished" in found[1]
    assert "a.sql: comes before c.sql" in found[2]
    assert "a0.sql: was applied on 2026-01-02 and is missing" in found[3]


def test_unchanged_files_are_no_problem() -> None:
    assert problems(POSTGRES, SqlFile("a.sql", "1", "COMMIT"), a=DONE) == []


def test_mysql_files_may_end_transactions() -> None:
    assert problems(MARIADB, SqlFile("a.sql", "1", "BEGIN; COMMIT;")) == []


def test_record_is_not_looked_at_without_files() -> None:
    assert problems(MARIADB, a=DONE) == []


def test_delimiters_are_understood_and_not_sent() -> None:
    text = (
        "SELECT 1;\nSELECT 2;\ndelimiter //\nCREATE PROCEDURE p() BEGIN x; END//\n"
        "CREATE PROCEDURE q() BEGIN y; END //\nDELIMITER ;\nCALL p();\n"
    )
    assert batches(text) == (
        "SELECT 1;\nSELECT 2;",
        "CREATE PROCEDURE p() BEGIN x; END",
        "CREATE PROCEDURE q() BEGIN y; END",
        "CALL p();",
    )


def test_file_without_delimiters_is_one_batch() -> None:
    assert batches("SELECT 1;\nSELECT 2") == ("SELECT 1;\nSELECT 2;",)
