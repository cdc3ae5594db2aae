"""The table that records which SQL files were applied."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portway.database.session import Session
from portway.database.state import RECORD, AppliedFile, SqlFile, WantedDatabase


@dataclass(frozen=True, slots=True)
class Record:
    """The recorded files of one schema."""

    wanted: WantedDatabase
    literal: Callable[[str], str]
    """Quotes a text for this engine."""
    text_type: str
    """The engine's name of the type that a timestamp is cast to."""

    def read(self, session: Session) -> Mapping[str, AppliedFile]:
        """The recorded files by name; the table must exist."""
        rows = session.rows(
            f"SELECT name, sha256, state = 'done', "
            f"CAST(started_at AS {self.text_type}) FROM {RECORD}.sql_files "
            f"WHERE schema_name = {self.literal(self.wanted.schema)}",
            "reading which SQL files were applied",
        )
        return {
            name: AppliedFile(sha256, bool(finished), at)
            for name, sha256, finished, at in rows
        }

    def begin(self, file: SqlFile) -> str:
        """A statement that records that a file is begun.

        The record has a primary key, so of two runs at once the second fails.
        """
        fields = self.wanted.schema, file.name, file.sha256, "started"
        return (
            f"INSERT INTO {RECORD}.sql_files (schema_name, name, sha256, state) "
            f"VALUES ({', '.join(map(self.literal, fields))})"
        )

    def finish(self, file: SqlFile) -> str:
        """A statement that records that it is done."""
        return f"UPDATE {RECORD}.sql_files SET state = 'done' {self._where(file)}"

    def forget(self, file: SqlFile) -> str:
        """A statement that removes its record."""
        return f"DELETE FROM {RECORD}.sql_files {self._where(file)}"

    def _where(self, file: SqlFile) -> str:
        return (
            f"WHERE schema_name = {self.literal(self.wanted.schema)} "
            f"AND name = {self.literal(file.name)}"
        )
