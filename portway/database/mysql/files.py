"""SQL files on MySQL and MariaDB, which cannot undo a file that fails half-way."""

from portway.database.errors import StatementFailed
from portway.database.mysql.dialect import literal
from portway.database.mysql.splitting import batches
from portway.database.record import Record
from portway.database.session import Session
from portway.database.state import SqlFile, WantedDatabase
from portway.errors import PortwayError


def record(wanted: WantedDatabase) -> Record:
    """The record of applied files."""
    return Record(wanted, literal, "char")


def apply_file(session: Session, wanted: WantedDatabase, file: SqlFile) -> None:
    """Record that a file is begun, apply it, record that it is done.

    DDL statements commit at once, so a file that fails half-way leaves its record
    behind, and the next run refuses to go on from an unknown state.
    """
    about = f"SQL file {file.name}"
    applied = record(wanted)
    session.run(applied.begin(file), about)
    in_force = False
    for batch in batches(file.text):
        try:
            session.run(batch, about)
        except StatementFailed as failed:
            if not in_force and not failed.completed:
                session.run(applied.forget(file), about)
                raise PortwayError(
                    failed.what,
                    why="nothing of it was applied",
                    do=f"{failed.do or 'fix it'}, then run again",
                ) from failed
            raise PortwayError(
                failed.what,
                why="the statements before it have taken effect",
                do=f"undo them, run {applied.forget(file)}, fix the file and run again",
            ) from failed
        in_force = True
    session.run(applied.finish(file), about)
