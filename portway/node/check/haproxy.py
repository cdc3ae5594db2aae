"""Asks HAProxy on its socket how it is doing, at a price that clients do not change.

A list of everything takes HAProxy some 50 ms with 10,000 clients, so one frontend and
one backend stand for all, for as long as they are fine.
"""

import csv
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

STEP = 0.1
"""Seconds of one wait. Patience is counted in such steps: a host that stalls in between
has been patient for one step, however late it wakes up."""


class Fault(Enum):
    """In what way HAProxy does not serve."""

    GONE = "nothing listens on its socket"
    ENDING = "its process is about to end"
    SILENT = "it does not answer"
    CLOSED = "it accepts no client's connections"
    NO_SERVER = "it has no server"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    fault: Fault | None = None
    reason: str = ""


SERVES = Finding()


class Haproxy:
    """A HAProxy by its socket."""

    def __init__(self, path: Path, stats_frontend: str, patience: float) -> None:
        self._path = path
        self._stats_frontend = stats_frontend
        self._steps = max(1, round(patience / STEP))
        self._frontend = self._backend = ""
        """Those that stand for all others."""

    def look(self, *, in_full: bool) -> Finding:
        """What is wrong. ``in_full`` looks at clients and servers as well."""
        try:
            return self._look(in_full=in_full)
        except TimeoutError:
            return Finding(Fault.SILENT, "HAProxy does not answer on its socket")
        except OSError as error:
            reason = f"HAProxy's socket cannot be reached: {error}"
            return Finding(Fault.GONE, reason)

    def _look(self, *, in_full: bool) -> Finding:
        question = "show info"
        if in_full and self._frontend:
            question += f";show stat {self._frontend} 1 -1"
        if in_full and self._backend:
            question += f";show stat {self._backend} 2 -1"
        answer = self._ask(question)
        if "\nStopping: 0" not in answer:  # its successor answers in a moment
            text = "HAProxy's process is about to end"
            return Finding(Fault.ENDING, text)
        if not in_full:
            return SERVES
        rows = {row["pxname"]: row for row in _rows(answer)}
        if not _accepts(rows.get(self._frontend, {}).get("status")):
            self._frontend = self._open_frontend()
        if not _is_served(rows.get(self._backend)):
            self._backend, has_servers = self._served_backend()
            if not self._backend and has_servers:
                text = "no server is up in any backend"
                return Finding(Fault.NO_SERVER, text)
        if not self._frontend:
            return Finding(Fault.CLOSED, "HAProxy accepts no client connections")
        return SERVES

    def _open_frontend(self) -> str:
        """A client's frontend that accepts connections; "" if none does."""
        for row in _rows(self._ask("show stat -1 1 -1")):
            if row["pxname"] != self._stats_frontend and _accepts(row["status"]):
                return row["pxname"]
        return ""

    def _served_backend(self) -> tuple[str, bool]:
        """A backend with a server that is up, or ""; and whether any has servers."""
        backends, servers = [], False
        for row in _rows(self._ask("show stat -1 6 -1")):
            if row["svname"] == "BACKEND":
                backends.append(row)
            else:
                servers = True
        served = (row["pxname"] for row in backends if _is_served(row))
        return next(served, ""), servers

    def _ask(self, question: str) -> str:
        """HAProxy's answer.

        TimeoutError if it takes too long for the next part of it; OSError if nothing
        listens or the connection is closed without a word.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(STEP)
            s.connect(str(self._path))
            s.sendall(question.encode() + b"\n")
            parts = []
            while part := self._receive(s):
                parts.append(part)
        if not parts:
            raise ConnectionError("the connection was closed")
        return b"".join(parts).decode(errors="replace")

    def _receive(self, s: socket.socket) -> bytes:
        for step in range(1, self._steps + 1):
            try:
                return s.recv(65536)
            except TimeoutError:
                if step == self._steps:
                    raise
        raise AssertionError("unreachable")


def _rows(answer: str) -> Iterator[dict[str, str]]:
    """The rows of every table in an answer."""
    for table in answer.split("# pxname,")[1:]:
        text, _, _ = table.partition("\n\n")
        yield from csv.DictReader(f"pxname,{text}".splitlines())


def _accepts(status: str | None) -> bool:
    return status in ("OPEN", "FULL")


def _is_served(row: dict[str, str] | None) -> bool:
    """Whether a backend has a server that is up; without any, it is up itself."""
    return (
        row is not None
        and (row["status"] or "").startswith("UP")
        and int(row["act"] or 0) + int(row["bck"] or 0) > 0
    )
