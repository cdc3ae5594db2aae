"""What a run has made, written down before it is made: what clean-up may delete.

One JSON object a line. Each line is on the disk before the call is made that it speaks
of, so that a run that is killed leaves nothing that is not in here.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from portway.errors import PortwayError


class Kind(StrEnum):
    """What a run makes."""

    RUN = "run"
    """The run itself: its id, region and account."""
    FOLDER = "folder"
    KEY_PAIR = "key pair"
    ROLE = "role"
    STACK = "stack"
    ADDRESS = "Elastic IP"
    """Of the stack, which does not delete it."""
    DATABASE = "database"
    """Of the stack, which leaves a snapshot of it."""
    ROUTE = "route"
    """Made by a load balancer in a table of the stack."""


class State(StrEnum):
    """How far one of them is."""

    PLANNED = "planned"
    MADE = "made"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    kind: Kind
    name: str
    state: State
    id: str = ""
    """What AWS calls it, once that is known."""
    more: Mapping[str, str] = field(default_factory=dict)


class Journal:
    """The journal of one run, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(
        self, kind: Kind, name: str, state: State, id_: str = "", **more: str
    ) -> None:
        """Add a line; when this returns, it is on the disk. PortwayError if it cannot.

        It begins on a line of its own, also after one that was cut off.
        """
        entry = {"kind": kind, "name": name, "state": state, "id": id_, "more": more}
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        file = os.open(self.path, flags, 0o600)
        try:
            line = _end_of_line(file) + json.dumps(entry).encode() + b"\n"
            if os.write(file, line) != len(line):
                raise PortwayError(
                    f"{self.path} could not be written to its end",
                    do="make room on its disk",
                )
            os.fsync(file)
        finally:
            os.close(file)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def entries(self) -> list[Entry]:
        """All lines; the last one may be cut off, and then does not count."""
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        return [entry for line in lines if (entry := _read(line)) is not None]

    def latest(self) -> dict[tuple[Kind, str], Entry]:
        """The last line about each thing, in the order of their first lines.

        An id that was known once stays known.
        """
        found: dict[tuple[Kind, str], Entry] = {}
        for entry in self.entries():
            before = found.get((entry.kind, entry.name))
            id_ = entry.id or (before.id if before else "")
            more = {**(before.more if before else {}), **entry.more}
            found[entry.kind, entry.name] = Entry(
                entry.kind, entry.name, entry.state, id_, more
            )
        return found

    def left(self, *kinds: Kind) -> list[Entry]:
        """What may still be there, of these kinds or of all."""
        return [
            entry
            for entry in self.latest().values()
            if entry.state is not State.GONE and (not kinds or entry.kind in kinds)
        ]

    def run(self) -> Entry | None:
        """The run that wrote it, if it has not been cleaned up."""
        runs = self.left(Kind.RUN)
        return runs[-1] if runs else None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of the same name out; PortwayError if there is one."""
        lock = os.open(self.path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PortwayError(
                    f"another process works with {self.path.parent}",
                    why="A run or a clean-up of the same stack is under way",
                    do="wait until it ends, or stop it with Ctrl-C",
                ) from None
            yield
        finally:
            os.close(lock)


def _end_of_line(file: int) -> bytes:
    """What ends the last line, if that has no end."""
    size = os.fstat(file).st_size
    return b"" if not size or os.pread(file, 1, size - 1) == b"\n" else b"\n"


def _read(line: str) -> Entry | None:
    try:
        given = json.loads(line)
        return Entry(
            Kind(given["kind"]),
            given["name"],
            State(given["state"]),
            given["id"],
            given["more"],
        )
    except (ValueError, KeyError, TypeError):
        return None
