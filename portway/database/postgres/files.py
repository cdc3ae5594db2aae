"""SQL files on PostgreSQL: each is one transaction, applied whole or not at all."""

import re

from portway.database.errors import StatementFailed
from portway.database.postgres.dialect import identifier, literal, search_path
from portway.database.record import Record
from portway.database.session import Session
from portway.database.state import RECORD, SqlFile, WantedDatabase
from portway.errors import PortwayError


def record(wanted: WantedDatabase) -> Record:
    """The record of applied files."""
    return Record(wanted, literal, "text")


def apply_file(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Apply a file and record it in one transaction: both are done or neither."""
    about = f"SQL file {file.name}"
    path = ", ".join(map(identifier, search_path(wanted)))
    transaction = "SELECT pg_catalog.txid_current()"
    session.run("BEGIN", about)
    others = _outside(session, wanted, about)
    session.run(record(wanted).begin(file), about)
    session.run(f"SET LOCAL search_path TO {path}", about)
    before = session.rows(transaction, about)
    try:
        session.run(without_restrict(file.text), about)
    except StatementFailed as failed:
        line = file.text.count("\n", 0, failed.position or 0) + 1
        at = f" on line {line}" if failed.position else ""
        raise PortwayError(
            f"{failed.what}{at}",
            why="nothing of it was applied",
            do=f"{failed.do or 'fix it'}, then run again",
        ) from failed
    if session.rows(transaction, about) != before:
        raise PortwayError(
            f"{about}: it ended the transaction it was applied in, so part of it may "
            "have taken effect",
            do="undo that part, remove its COMMIT and run again",
        )
    if made := _outside(session, wanted, about) - others:
        names = ", ".join(sorted(name for _, name in made))
        raise PortwayError(
            f"{about}: it makes what the application has no right to use: {names}",
            why=f"its rights end with the schema {wanted.schema}; nothing of the file "
            "was applied",
            do=f"make it in {wanted.schema}: without a schema's name it is made there, "
            "and a dump of pg_dump has the name before every other; then run again",
        )
    session.run(record(wanted).finish(file), about)
    session.run("COMMIT", about)


_OUTSIDE = """
SELECT made.oid, pg_catalog.format('%s %I.%I', kind, nspname, name)
FROM (
    SELECT CASE relkind
            WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view'
            WHEN 'm' THEN 'materialized view' ELSE 'table'
        END AS kind, relname AS name, relnamespace AS namespace, oid, tableoid
    FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL SELECT 'function', proname, pronamespace, oid, tableoid
    FROM pg_catalog.pg_proc
    UNION ALL SELECT 'type', typname, typnamespace, oid, tableoid
    FROM pg_catalog.pg_type WHERE typtype IN ('d', 'e', 'r')
) AS made
JOIN pg_catalog.pg_namespace AS place ON place.oid = namespace
WHERE nspname NOT IN ({ours}, 'information_schema') AND nspname !~ '^pg_'
AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS needed
    WHERE needed.objid = made.oid AND classid = made.tableoid AND deptype = 'e'
)
"""
"""Not what an extension has: it says itself where it is, and who may use it."""


def _outside(
    session: Session, wanted: WantedDatabase, about: str
) -> set[tuple[int, str]]:
    """Tables, functions and types of other schemas than the application's."""
    ours = ", ".join(map(literal, (wanted.schema, RECORD)))
    return {(row[0], row[1]) for row in session.rows(_OUTSIDE.format(ours=ours), about)}


def without_restrict(text: str) -> str:
    """A file without the psql commands that pg_dump writes around every dump.

    They mean nothing here. The newlines stay, so that lines keep their numbers.
    """
    return _RESTRICT.sub(lambda found: "" if found["restrict"] else found[0], text)


_OPAQUE = re.compile(
    r"--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$',
    re.DOTALL,
)
_RESTRICT = re.compile(
    rf"{_OPAQUE.pattern}|(?P<restrict>^\\(?:un)?restrict[ \t]+\w+[ \t\r]*$)",
    re.DOTALL | re.MULTILINE,
)
_OWN_TRANSACTION = re.compile(
    r"(BEGIN|START\s+TRANSACTION|COMMIT|ABORT|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+((WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE,
)
_COPY = re.compile(r"COPY\b[^;]*\bFROM\s+STDIN\b", re.IGNORECASE)
_PSQL = re.compile(r"^\s*(\\\w+)", re.MULTILINE)


def file_problem(file: SqlFile) -> str | None:
    """Why a file cannot be applied in one transaction, and the fix; None if it can."""
    code = _OPAQUE.sub(" ", without_restrict(file.text))
    statements = [statement.strip() for statement in code.split(";")]
    if found := next(filter(None, map(_OWN_TRANSACTION.match, statements)), None):
        return (
            f"has a transaction of its own ({found[0].upper()}), but is applied whole "
            "or not at all, in one transaction; remove its BEGIN and COMMIT"
        )
    if any(map(_COPY.match, statements)):
        return "has COPY FROM stdin; make the dump with pg_dump --inserts"
    if found := _PSQL.search(code):
        return f"has {found[1]}, a command of the program psql; write it in SQL"
    return None
