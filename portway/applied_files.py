"""Applying the vendor's SQL files once each, and the record of that in the database.

It works on a session it is given. On PostgreSQL a file is applied whole or not at all;
MySQL cannot do that, so a file that was begun is recorded as such before.
"""

from collections.abc import Callable, Mapping

from portway import mysql, postgres
from portway.database import (
    POSTGRES,
    RECORD,
    AppliedFile,
    SqlFile,
    WantedDatabase,
)
from portway.database_errors import StatementFailed
from portway.database_session import Session
from portway.errors import PortwayError


def read_record(session: Session, wanted: WantedDatabase) -> Mapping[str, AppliedFile]:
    """The recorded files by name; the table must be there."""
    text = "text" if wanted.engine == POSTGRES else "char"
    rows = session.rows(
        f"SELECT name, sha256, state = 'done', CAST(started_at AS {text}) "
        f"FROM {RECORD}.sql_files "
        f"WHERE schema_name = {_literal(wanted)(wanted.schema)}",
        "reading which SQL files were applied",
    )
    return {
        name: AppliedFile(sha256, bool(finished), at)
        for name, sha256, finished, at in rows
    }


def apply_file(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Apply one file and record that; raises PortwayError that says what is in force.

    The record has a primary key, so of two runs at once the second fails.
    """
    if wanted.engine == POSTGRES:
        _apply_to_postgres(session, wanted, file)
    else:
        _apply_to_mysql(session, wanted, file)


def _literal(wanted: WantedDatabase) -> Callable[[str], str]:
    return postgres.literal if wanted.engine == POSTGRES else mysql.literal


def _begin(wanted: WantedDatabase, file: SqlFile) -> str:
    """A statement that records that a file is begun."""
    fields = wanted.schema, file.name, file.sha256, "started"
    return (
        f"INSERT INTO {RECORD}.sql_files (schema_name, name, sha256, state) "
        f"VALUES ({', '.join(map(_literal(wanted), fields))})"
    )


def _of_file(wanted: WantedDatabase, file: SqlFile) -> str:
    quote = _literal(wanted)
    return f"WHERE schema_name = {quote(wanted.schema)} AND name = {quote(file.name)}"


def _apply_to_postgres(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Apply a file and record it in one transaction: both are done or neither."""
    about = f"SQL file {file.name}"
    path = ", ".join(map(postgres.identifier, postgres.search_path(wanted)))
    transaction = "SELECT pg_catalog.txid_current()"
    session.run("BEGIN", about)
    session.run(_begin(wanted, file), about)
    session.run(f"SET LOCAL search_path TO {path}", about)
    before = session.rows(transaction, about)
    try:
        session.run(file.text, about)
    except StatementFailed as failed:
        line = file.text.count("\n", 0, failed.position or 0) + 1
        at = f" on line {line}" if failed.position else ""
        raise PortwayError(
            f"{failed.message}{at}; nothing of it was applied: mend it and run again"
        ) from failed
    if session.rows(transaction, about) != before:
        raise PortwayError(
            f"{about}: it ended the transaction that it was applied in, so part of it "
            "may be in force; undo that part, remove its COMMIT and run again"
        )
    session.run(
        f"UPDATE {RECORD}.sql_files SET state = 'done' {_of_file(wanted, file)}", about
    )
    session.run("COMMIT", about)


def _apply_to_mysql(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Record that a file is begun, apply it, record that it is done.

    What alters tables commits at once there, so a file that fails half-way leaves its
    record behind, and the next run refuses to go on from an unknown state.
    """
    about = f"SQL file {file.name}"
    of_file = _of_file(wanted, file)
    session.run(_begin(wanted, file), about)
    in_force = False
    for batch in mysql.batches(file.text):
        try:
            session.run(batch, about)
        except StatementFailed as failed:
            if not in_force and not failed.completed:
                session.run(f"DELETE FROM {RECORD}.sql_files {of_file}", about)
                text = "nothing of it was applied: mend it and run again"
            else:
                text = (
                    "what stands before that is in force: undo it, run DELETE FROM "
                    f"{RECORD}.sql_files {of_file}, mend the file and run again"
                )
            raise PortwayError(f"{failed.message}; {text}") from failed
        in_force = True
    session.run(f"UPDATE {RECORD}.sql_files SET state = 'done' {of_file}", about)
