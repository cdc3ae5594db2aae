"""Messages that are sent all the time, and what clients noticed of what happened."""

import itertools
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.plan.options import Options
from acceptance.programs.deploys import end
from acceptance.terminal.waiting import wait_for
from portway.errors import PortwayError

PROGRAM = Path(__file__).with_name("client.py")
PAUSE = 0.2
"""Seconds from one message to the next."""
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
AT_ONCE = 60
LONGEST = 6 * 3600
NOTICED = 1.0
"""A gap of so many seconds between two acknowledgements is one that clients notice."""
SERVED_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Event:
    """What came of a message, by this machine's clock."""

    at: float
    """When that was known."""
    sent: float
    ok: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients noticed in a span of time."""

    acknowledged: int
    failed: int
    longest_gap: float
    """Seconds between two acknowledgements."""
    served_again: float | None
    """Seconds from the beginning to the end of that gap, if clients noticed it."""
    errors: tuple[str, ...] = ()
    """What failed messages failed with, each text once."""

    def __str__(self) -> str:
        again = (
            ""
            if self.served_again is None
            else f", served {self.served_again:.1f} s after it"
        )
        return (
            f"{self.acknowledged} acknowledged, {self.failed} failed, "
            f"longest gap {self.longest_gap:.1f} s{again}"
        )


def measured(events: Sequence[Event], since: float, until: float) -> Traffic:
    """What clients noticed from one moment to another. Pure.

    The gap may begin before, with the last acknowledgement that still came.
    """
    acknowledged = sorted(e.at for e in events if e.ok)
    inside = [at for at in acknowledged if since <= at <= until]
    before = [at for at in acknowledged if at < since][-1:]
    failed = [e for e in events if not e.ok and since <= e.at <= until]
    # What began before and failed only later belongs to what happened here.
    times = [*before, *inside, until]
    gaps = [(b - a, b) for a, b in itertools.pairwise(times)]
    longest, ended = max(gaps, default=(until - since, until))
    noticed = bool(failed) or longest > NOTICED
    return Traffic(
        len(inside),
        len(failed),
        longest,
        max(ended - since, 0.0) if noticed and inside else None,
        tuple(dict.fromkeys(e.error for e in failed))[:5],
    )


def refuse_failed(traffic: Traffic, while_: str) -> None:
    """PortwayError if a message failed where none may."""
    if traffic.failed:
        raise PortwayError(
            f"{traffic.failed} messages failed while {while_}",
            why="; ".join(traffic.errors),
        )


class Sender:
    """The client's program, running, and what it has printed."""

    def __init__(self, options: Options, address: str) -> None:
        self._options = options
        self._address = address
        self._events: list[Event] = []
        self._streams: list[tuple[float, str]] = []
        self._offset: float | None = None
        self._lock = threading.Lock()
        prefix = shlex.split(options.client)
        python = "python3" if prefix else sys.executable
        self._process = subprocess.Popen(  # noqa: S603 - the user's own command
            [*prefix, python, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._feed()

    def _feed(self) -> None:
        wanted = {
            "address": self._address,
            "port": self._options.port,
            "message": self._options.message,
            "expect": self._options.expect,
            "pause": PAUSE,
            "connect_seconds": CONNECT_SECONDS,
            "answer_seconds": ANSWER_SECONDS,
            "at_once": AT_ONCE,
            "seconds": LONGEST,
        }
        text = f"{PROGRAM.read_text()}\n\nmain(json.loads({json.dumps(wanted)!r}))\n"
        assert self._process.stdin  # noqa: S101 - for the types
        try:
            self._process.stdin.write(text.encode())
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # what it says is in its errors

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - for the types
        for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            with self._lock:
                self._take(said)

    def _take(self, said: dict[str, Any]) -> None:
        if self._offset is None:  # it has its own clock if it runs elsewhere
            self._offset = time.time() - said["at"]
        at = said["at"] + self._offset
        match said["event"]:
            case "acknowledged" | "failed":
                sent, ok = said["sent"] + self._offset, said["event"] != "failed"
                self._events.append(Event(at, sent, ok, said.get("error", "")))
            case "stream-ended":
                self._streams.append((at, said["error"]))

    def events(self) -> list[Event]:
        """All so far."""
        with self._lock:
            return list(self._events)

    def streams_ended(self, since: float) -> list[str]:
        """How the connection that is kept ended, each time since a moment."""
        with self._lock:
            return [error for at, error in self._streams if at >= since]

    def measured(self, since: float, until: float | None = None) -> Traffic:
        """What clients noticed from one moment to another, or until now."""
        return measured(self.events(), since, until or time.time())

    def wait_until_served(self, since: float, seconds: float = SERVED_SECONDS) -> None:
        """Wait for the acknowledgement of a message sent since a moment."""

        def look() -> bool | None:
            if self._process.poll() is not None:
                raise self._ended()
            return any(e.ok and e.sent >= since for e in self.events()) or None

        def now() -> str:
            failed = [e.error for e in self.events() if not e.ok and e.at >= since]
            return failed[-1] if failed else "no answer to any"

        wait_for("a client to be served", look, seconds, now=now, longest=0.5)

    def _ended(self) -> PortwayError:
        assert self._process.stderr  # noqa: S101 - for the types
        said = self._process.stderr.read().decode(errors="replace").strip()
        return PortwayError(
            f"the client ended with status {self._process.returncode}",
            why=" ".join(said.splitlines()[-3:]),
            do="check --client: it is put before `python3 -`, whose program comes on "
            "its input",
        )

    def stop(self) -> None:
        """End it."""
        end(self._process)
        self._reader.join(5)
