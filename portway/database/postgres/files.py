"""SQL files on PostgreSQL: each is one transaction, applied whole or not at all.

But for those whose statements no transaction can hold.
"""

from portway.database.errors import PermissionDenied, StatementFailed
from portway.database.postgres.alone import apply_alone
from portway.database.postgres.dialect import search_path
from portway.database.postgres.joined import owners_in
from portway.database.postgres.names import identifier, literal
from portway.database.postgres.scripts import is_applied_alone, without_restrict
from portway.database.record import Record
from portway.database.session import Session
from portway.database.state import RECORD, SqlFile, WantedDatabase
from portway.errors import PortwayError


def record(wanted: WantedDatabase) -> Record:
    """The record of applied files."""
    return Record(wanted, literal, "text")


def apply_file(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Apply a file and record it."""
    if is_applied_alone(file):
        apply_alone(session, wanted, file, record(wanted))
    else:
        _apply_whole(session, wanted, file)


def _apply_whole(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Apply a file and record it in one transaction: both are done or neither."""
    about = f"SQL file {file.name}"
    path = ", ".join(map(identifier, search_path(wanted)))
    transaction = "SELECT pg_catalog.txid_current()"
    owners = owners_in(session, wanted, about)
    session.run("BEGIN", about)
    owners.join()
    others = _outside(session, wanted, about)
    session.run(record(wanted).begin(file), about)
    session.run(f"SET LOCAL search_path TO {path}", about)
    before = session.rows(transaction, about)
    try:
        session.run(without_restrict(file.text), about)
    except StatementFailed as failed:
        line = file.text.count("\n", 0, failed.position or 0) + 1
        at = f" on line {line}" if failed.position else ""
        session.run("ROLLBACK", about)
        denied = isinstance(failed, PermissionDenied)
        way_out = (denied and owners.way_out()) or f"{failed.do or 'fix it'}, "
        raise PortwayError(
            f"{failed.what}{at}",
            why="nothing of it was applied",
            do=f"{way_out}then run again",
        ) from failed
    if session.rows(transaction, about) != before:
        session.run("ROLLBACK", about)
        owners.leave()
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
    owners.leave()
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
