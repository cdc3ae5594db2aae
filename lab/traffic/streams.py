"""What became of connections that clients hold: lines in, streams out. Pure.

``held`` writes the lines. Times are seconds since the epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection was made."""

    client: str
    at: float
    port: int
    """The client's own, by which HAProxy's log knows it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A message was acknowledged as stored."""

    client: str
    at: float
    id: str
    node: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection is over."""

    client: str
    at: float
    how: str
    """``hung-up`` by the client; ``closed``, ``reset`` or ``silent`` by others."""
    in_flight: bool
    """Whether a message had been begun that was not acknowledged."""


@dataclass(slots=True)
class Stream:
    """One connection, from its beginning to its end."""

    client: str
    opened: float
    port: int
    node: str = ""
    """Who answered on it; empty if nobody did."""
    answers: int = 0
    last_answer: float = 0.0
    ended: float = 0.0
    """0 while it lasts."""
    how: str = ""
    in_flight: bool = False
    reason: str = ""
    """Why HAProxy says that it ended; empty if it was not asked."""

    @property
    def was_cut(self) -> bool:
        """Whether it ended, and not by its client."""
        return bool(self.ended) and self.how != "hung-up"


@dataclass(slots=True)
class Streams:
    """All connections so far, in the order in which they were made."""

    streams: list[Stream] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    _present: dict[str, Stream] = field(default_factory=dict)

    def read(self, lines: Iterable[str]) -> None:
        """Take lines in; LabError if one is not of the form that ``written`` gives."""
        for line in lines:
            try:
                self._read(*line.split())
            except (KeyError, TypeError, ValueError) as error:
                raise LabError(f"this is no line of held clients: {line!r}") from error

    def _read(self, word: str, client: str, at: str, *rest: str) -> None:
        when = float(at)
        if word == "opened":
            (port,) = rest
            self._present[client] = Stream(client, when, int(port))
            self.streams.append(self._present[client])
        elif word == "answered":
            id_, node = rest
            stream = self._present[client]
            stream.node, stream.last_answer = node, when
            stream.answers += 1
            self.answers.append(Answered(client, when, id_, node))
        elif word == "ended":
            stream = self._present.pop(client)
            stream.ended, (stream.how, in_flight) = when, rest
            stream.in_flight = in_flight == "1"
        else:
            raise ValueError(word)


def written(seen: Opened | Answered | Ended) -> str:
    """The line for something that was seen."""
    if isinstance(seen, Opened):
        return f"opened {seen.client} {seen.at:.4f} {seen.port}\n"
    if isinstance(seen, Answered):
        return f"answered {seen.client} {seen.at:.4f} {seen.id} {seen.node}\n"
    return f"ended {seen.client} {seen.at:.4f} {seen.how} {seen.in_flight:d}\n"
