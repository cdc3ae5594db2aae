"""SQL files whose statements no transaction can hold: applied one by one.

Each takes effect by itself, so a file that fails half-way leaves its record behind, and
the next run refuses to go on from an unknown state.
"""

from contextlib import suppress

from portway.database.errors import StatementFailed
from portway.database.postgres.joined import owners_in
from portway.database.postgres.names import identifier, literal
from portway.database.postgres.scripts import statements
from portway.database.record import Record
from portway.database.session import Session
from portway.database.state import SqlFile, WantedDatabase
from portway.errors import PortwayError


def apply_alone(
    session: Session, wanted: WantedDatabase, file: SqlFile, applied: Record
) -> None:
    """Record that the file is begun, run its statements, record that it is done."""
    about = f"SQL file {file.name}"
    owners = owners_in(session, wanted, about)
    session.run(applied.begin(file), about)
    path = ", ".join(map(identifier, (wanted.schema, "public")))
    session.run(f"SET search_path TO {path}", about)
    before = _invalid_indexes(session, wanted, about)
    owners.join()
    try:
        _run(session, wanted, file, applied, before)
    finally:
        with suppress(StatementFailed):
            owners.leave()
    session.run(applied.finish(file), about)


def _run(
    session: Session,
    wanted: WantedDatabase,
    file: SqlFile,
    applied: Record,
    before: set[str],
) -> None:
    about = f"SQL file {file.name}"
    for number, statement in enumerate(statements(file.text)):
        try:
            session.run(statement, about)
        except StatementFailed as failed:
            left = _invalid_indexes(session, wanted, about) - before
            if number == 0 and not left:
                session.run(applied.forget(file), about)
                raise PortwayError(
                    failed.what,
                    why="nothing of it was applied",
                    do=f"{failed.do or 'fix it'}, then run again",
                ) from failed
            drops = "".join(f"  DROP INDEX {index};\n" for index in sorted(left))
            raise PortwayError(
                failed.what,
                why="what was before it has taken effect"
                + (", and an invalid index is left behind" if left else ""),
                do=f"undo that, fix the file and run again:\n{drops}"
                f"  {applied.forget(file)};",
            ) from failed


def _invalid_indexes(session: Session, wanted: WantedDatabase, about: str) -> set[str]:
    """What CREATE INDEX CONCURRENTLY leaves if it fails."""
    rows = session.rows(
        "SELECT pg_catalog.format('%I.%I', nspname, relname) "
        "FROM pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid = indexrelid "
        "JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace "
        f"WHERE NOT indisvalid AND nspname = {literal(wanted.schema)}",
        about,
    )
    return {row[0] for row in rows}
