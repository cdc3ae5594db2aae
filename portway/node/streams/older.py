"""The streams in older workers, listed once: they end, but no new one begins there."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from portway.contract.streams import HELD
from portway.node.streams.haproxy import NO_SERVER, Haproxy, Process, Stream

log = logging.getLogger("streams")

CONNECTING_EVERY = 1.0
"""Seconds between two listings while a stream is still being connected."""
SILENT = 60.0
"""Seconds after which a process that did not answer is asked again."""


@dataclass
class _Known:
    """What is known of one older worker."""

    process: Process
    since: float
    listed: float = float("-inf")
    silent_until: float = float("-inf")
    """When to ask one again that did not answer: it must not delay the others."""
    streams: dict[str, Stream] = field(default_factory=dict)
    watched: list[tuple[Stream, str]] = field(default_factory=list)
    addresses: dict[tuple[str, str], str] = field(default_factory=dict)
    is_connecting: bool = False
    """Whether a stream was still being connected to its server when it was listed."""


class Older:
    """The older workers and their streams."""

    def __init__(
        self,
        haproxy: Haproxy,
        watched: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``watched`` are clients whose streams are asked for often."""
        self._haproxy = haproxy
        self._clients = frozenset(watched)
        self._clock = clock
        self.generation = 0
        """Grows whenever what is known has changed."""
        self._known: dict[int, _Known] = {}
        self._newest = 0

    def look(self) -> bool:
        """Find out which older workers there are; whether there was a reload.

        A new one is listed at once and once more: connections that HAProxy held when it
        was reloaded get their server later.
        """
        now = self._clock()
        newest, processes = self._haproxy.workers()
        found = {process.pid: process for process in processes}
        self.generation += found.keys() != self._known.keys()
        for pid, process in found.items():
            known = self._known.setdefault(pid, _Known(process, now))
            known.process = process
            again = known.since + 1.5 * HELD
            late = known.is_connecting and now - known.listed >= CONNECTING_EVERY
            if late or known.listed < known.since or known.listed < again <= now:
                self._list(known, now)
        for pid in self._known.keys() - found.keys():
            del self._known[pid]
        reloaded, self._newest = newest != self._newest, newest
        return reloaded

    def _list(self, known: _Known, now: float) -> None:
        pid = known.process.pid
        if now < known.silent_until:
            return
        known.listed = now
        try:
            known.streams = {stream.id: stream for stream in self._haproxy.streams(pid)}
            known.addresses = known.addresses or self._haproxy.addresses(pid)
            known.is_connecting = any(
                not stream.is_established and stream.server != NO_SERVER
                for stream in known.streams.values()
            )
        except TimeoutError:
            self.is_silent(pid)
            return
        self._watch(known)

    def is_silent(self, pid: int) -> None:
        """Leave a worker alone for a while: it did not answer, and holds the others."""
        if pid in self._known:
            self._known[pid].silent_until = self._clock() + SILENT
            log.warning("HAProxy's older process %d does not answer", pid)

    def silent(self) -> list[int]:
        """The process ids of those that did not answer lately."""
        now = self._clock()
        return [pid for pid, known in self._known.items() if now < known.silent_until]

    def _watch(self, known: _Known) -> None:
        self.generation += 1
        known.watched = [
            (stream, known.addresses.get((stream.backend, stream.server), ""))
            for stream in known.streams.values()
            if stream.client in self._clients
        ]

    def list_again(self) -> None:
        """Forget streams that have ended."""
        now = self._clock()
        for known in self._known.values():
            self._list(known, now)

    def streams(self) -> list[tuple[Stream, str]]:
        """Every stream that may still be there, with its node's address."""
        return [
            (stream, known.addresses.get((stream.backend, stream.server), ""))
            for known in self._known.values()
            for stream in known.streams.values()
        ]

    def watched(self) -> list[tuple[Stream, str]]:
        """The same for the clients that are asked for often."""
        return [item for known in self._known.values() for item in known.watched]

    def forget(self, streams: Iterable[Stream]) -> None:
        """Streams that were closed."""
        by_worker: dict[int, set[str]] = {}
        for stream in streams:
            by_worker.setdefault(stream.worker, set()).add(stream.id)
        for worker in by_worker.keys() & self._known.keys():
            known, closed = self._known[worker], by_worker[worker]
            known.streams = {i: s for i, s in known.streams.items() if i not in closed}
            self._watch(known)

    def counts(self) -> list[tuple[Process, int]]:
        """The older workers and how many streams each has."""
        return [(k.process, len(k.streams)) for k in self._known.values()]
