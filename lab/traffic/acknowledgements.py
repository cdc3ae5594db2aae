"""What a load of clients was acknowledged, and when: lines in, figures out. Pure.

``senders`` writes the lines, ``load`` reads them. Times are seconds since the
epoch, so that they can be compared with what else happened.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One message that was acknowledged as stored."""

    client: int
    at: float
    id: str
    tries: int
    """How often it was sent."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A time in which a client had no connection, though it tried."""

    client: int
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without an acknowledgement."""

    start: float
    seconds: float

    @property
    def end(self) -> float:
        """When it was over."""
        return self.start + self.seconds


@dataclass(slots=True)
class ClientReport:
    """What became of one client's messages, the earliest first."""

    times: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    resent: int = 0
    """Messages that were sent more than once."""
    longest_refusal: float = 0.0
    """Seconds from a first failed connection to the next one that succeeded."""

    def gaps(self, started: float, ended: float, longer: float = 0.0) -> Iterator[Gap]:
        """The times without an acknowledgement that are longer than so many seconds.

        Those before the first and after the last one count, so that a client that is
        never acknowledged again does not pass for one that is served.
        """
        inner = [t for t in self.times if started < t < ended]
        for before, after in pairwise((started, *inner, ended)):
            if after - before > longer:
                yield Gap(before, after - before)

    def longest_gap(self, started: float, ended: float) -> Gap:
        """The longest time without an acknowledgement."""
        return max(self.gaps(started, ended, longer=-1.0), key=lambda gap: gap.seconds)

    def first_after(self, moment: float) -> float | None:
        """When the first acknowledgement after a moment came."""
        return next((t for t in self.times if t >= moment), None)


@dataclass(slots=True)
class Report:
    """What became of a load."""

    clients: list[ClientReport]
    started: float = 0.0
    ended: float = 0.0
    """When it was stopped; 0 while it runs."""
    cpu_seconds: float = 0.0

    @property
    def acknowledged(self) -> set[str]:
        """The id of every acknowledged message."""
        return {id_ for client in self.clients for id_ in client.ids}

    @property
    def resent(self) -> int:
        """Messages that were sent more than once."""
        return sum(client.resent for client in self.clients)

    @property
    def usual_pause(self) -> float:
        """Seconds that usually lie between a client's acknowledgements: the median."""
        pauses = [b - a for c in self.clients for a, b in pairwise(c.times)]
        return median(pauses) if pauses else 0.0

    def longest_gaps(self) -> list[Gap]:
        """Each client's longest time without an acknowledgement."""
        return [c.longest_gap(self.started, self.ended) for c in self.clients]

    def outages(self) -> list[float]:
        """Seconds that each client was not served: its longest gap beyond the usual."""
        usual = self.usual_pause
        return [max(0.0, gap.seconds - usual) for gap in self.longest_gaps()]

    def longest_since(self, moment: float) -> float:
        """The longest time that any client was not served after a moment."""
        gaps = [c.longest_gap(moment, self.ended).seconds for c in self.clients]
        return max(0.0, max(gaps, default=0.0) - self.usual_pause)

    def all_served_since(self, moment: float) -> float | None:
        """When every client had been acknowledged after a moment; None if not yet."""
        firsts = [client.first_after(moment) for client in self.clients]
        known = [first for first in firsts if first is not None]
        return max(known) if known and len(known) == len(firsts) else None


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of the values do not exceed: nearest rank."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked), round(share * len(ranked) + 0.4999)) - 1)]


def written(seen: Acknowledgement | Refusal) -> str:
    """The line for something that was seen."""
    if isinstance(seen, Acknowledgement):
        return f"acknowledged {seen.client} {seen.at:.4f} {seen.id} {seen.tries}\n"
    return f"refused {seen.client} {seen.since:.4f} {seen.until:.4f}\n"


class Reader:
    """Makes a report from lines, as they come."""

    def __init__(self, clients: int) -> None:
        self.report = Report([ClientReport() for _ in range(clients)])

    def read(self, lines: Iterable[str]) -> None:
        """Take lines in; LabError if one is not of the form that ``written`` gives."""
        for line in lines:
            try:
                self._read(*line.split())
            except (IndexError, TypeError, ValueError) as error:
                raise LabError(f"this is no line of a load: {line!r}") from error

    def _read(self, word: str, *rest: str) -> None:
        if word == "acknowledged":
            number, at, id_, tries = rest
            client = self.report.clients[int(number)]
            client.times.append(float(at))
            client.ids.append(id_)
            client.resent += int(tries) > 1
        elif word == "refused":
            number, since, until = rest
            client = self.report.clients[int(number)]
            seconds = float(until) - float(since)
            client.longest_refusal = max(client.longest_refusal, seconds)
        elif word == "started":
            (self.report.started,) = map(float, rest)
        elif word == "ended":
            self.report.ended, self.report.cpu_seconds = map(float, rest)
        else:
            raise ValueError(word)


def as_dict(report: Report, *, with_messages: bool = False) -> dict[str, Any]:
    """The figures of a load for programs; every acknowledgement if asked for."""
    gaps = report.longest_gaps()
    return {
        "started": report.started,
        "ended": report.ended,
        "cpu_seconds": report.cpu_seconds,
        "usual_pause": report.usual_pause,
        "clients": [
            {
                "acknowledged": len(client.ids),
                "resent": client.resent,
                "longest_gap": gap.seconds,
                "longest_gap_start": gap.start,
                "longest_refusal": client.longest_refusal,
            }
            | ({"times": client.times, "ids": client.ids} if with_messages else {})
            for client, gap in zip(report.clients, gaps, strict=True)
        ],
    }
