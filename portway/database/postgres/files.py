"""SQL files on PostgreSQL: each is one transaction, applied whole or not at all."""

import re

from portway.database.errors import StatementFailed
from portway.database.postgres.dialect import identifier, literal, search_path
from portway.database.record import Record
from portway.database.session import Session
from portway.database.state import SqlFile, WantedDatabase
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
    session.run(record(wanted).begin(file), about)
    session.run(f"SET LOCAL search_path TO {path}", about)
    before = session.rows(transaction, about)
    try:
        session.run(file.text, about)
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
    session.run(record(wanted).finish(file), about)
    session.run("COMMIT", about)


_OPAQUE = re.compile(
    r"--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$',
    re.DOTALL,
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
    code = _OPAQUE.sub(" ", file.text)
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
