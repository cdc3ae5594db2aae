"""Keeps each ``ordered`` backend's clients to one application node at a time.

HAProxy sends their connections to the server that is in the backend's stick table, and
so never goes back to a better one by itself. It holds a new connection for ``HELD``
seconds unless the number of usable servers is the one that was approved here, that is,
whenever a server fails, comes back or is drained, and after a reload. Meanwhile the
streams on other nodes are closed, those of older workers too; then the server is
approved. If this program is dead or too slow, connections go ahead after that time.
"""

import logging
import time
from collections.abc import Callable, Mapping

from portway.contract.streams import HELD, OrderedBackend
from portway.node.streams.closing import Closing, connections_of
from portway.node.streams.haproxy import (
    AT_ONCE,
    NEWEST,
    Backend,
    Haproxy,
    Server,
    Stream,
)
from portway.node.streams.older import Older

log = logging.getLogger("streams")

STEADY = 5.0
"""Seconds that a better server must have been usable before clients go back to it."""
POLITE = 0.4 * HELD
"""Seconds that streams get to end between two messages if their node still serves."""
SURE = 0.3 * HELD
"""Seconds that HAProxy gets to have closed what it was told to close."""
PAUSE = 0.02


class Ordered:
    """The ``ordered`` backends of this load balancer."""

    def __init__(
        self,
        backends: Mapping[str, OrderedBackend],
        haproxy: Haproxy,
        older: Older,
        closing: Closing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted = backends
        self._haproxy = haproxy
        self._older = older
        self._closing = closing
        self._clock = clock
        self._active: dict[str, str] = {}
        """The server that was last approved, by backend."""
        self._since: dict[tuple[str, str], float] = {}
        """When a server was first seen to be usable, without a break since."""
        self._clean: dict[str, tuple[int, str]] = {}
        """For which listing of older workers and which node's address there were no
        strays."""

    def look(self, *, reloaded: bool) -> None:
        """Bring every backend into order. OSError if HAProxy does not answer."""
        if not self._wanted:
            return
        if reloaded:
            self._since.clear()
        for name, backend in self._haproxy.backends(self._wanted).items():
            if name in self._wanted:
                self._look_at(name, backend)

    def _look_at(self, name: str, backend: Backend) -> None:
        self._note_usable(name, backend)
        target = self._target(name, backend)
        if target is None:
            return  # there is nothing to keep apart: HAProxy refuses its clients
        strays = any(s.streams for s in backend.servers if s.name != target.name)
        in_order = backend.chosen == target.name and not strays
        if in_order and backend.is_approved and not self._older_strays(name, target):
            self._active[name] = target.name
            return
        self._move(name, backend, target)

    def _note_usable(self, name: str, backend: Backend) -> None:
        now = self._clock()
        for server in backend.servers:
            if server.usable:
                self._since.setdefault((name, server.name), now)
            else:
                self._since.pop((name, server.name), None)

    def _target(self, name: str, backend: Backend) -> Server | None:
        """The server that clients should use now; None if none is usable."""
        order = self._wanted[name].servers
        usable = sorted(
            (server for server in backend.servers if server.usable),
            key=lambda s: order.index(s.name) if s.name in order else len(order),
        )
        current = backend.chosen or self._active.get(name) or self._used(name, backend)
        steady = self._clock() - STEADY
        for server in usable:
            if server.name == current or self._since[name, server.name] <= steady:
                return server
        return usable[0] if usable else None

    def _used(self, name: str, backend: Backend) -> str | None:
        """The server that has most streams of older workers."""
        clients = set(self._wanted[name].clients)
        found = [a for stream, a in self._older.watched() if stream.client in clients]
        counts = {s.name: found.count(s.address) for s in backend.servers}
        most = max(counts, key=lambda server: counts[server], default=None)
        return most if most and counts[most] else None

    def _older_strays(self, name: str, target: Server) -> list[Stream]:
        """Streams of this backend's clients that older workers have on other nodes.

        A client may have used another backend then.
        """
        listing = self._older.generation, target.address
        if self._clean.get(name) == listing:
            return []
        clients = set(self._wanted[name].clients)
        strays = [
            stream
            for stream, address in self._older.watched()
            if stream.client in clients and address not in ("", target.address)
        ]
        if not strays:
            self._clean[name] = listing
        return strays

    def _strays(self, name: str, target: Server) -> list[Stream]:
        """All streams that are on another node now."""
        self._older.list_again()
        newest = [
            stream
            for stream in self._haproxy.streams(NEWEST)
            if stream.backend == name and stream.server not in (target.name, "<none>")
        ]
        return newest + self._older_strays(name, target)

    def _move(self, name: str, backend: Backend, target: Server) -> None:
        """Close all streams on other nodes, then let connections pass to this one."""
        began = self._clock()
        if backend.chosen and backend.approved:
            self._haproxy.hold(name)
        strays, closed = self._strays(name, target), 0
        dead = {server.name for server in backend.servers if not server.alive}
        if any(stream.server not in dead for stream in strays):
            closed += self._close_politely(name, target, began + POLITE)
            strays = self._strays(name, target)
        closed += len(strays)
        deadline = None
        while True:
            for server in backend.servers:
                if server.name != target.name:
                    self._haproxy.close_server(name, server.name)
            self._closing.close(strays, "ordered")
            deadline = deadline or self._clock() + SURE
            now = self._haproxy.backends([name]).get(name)
            if now is None:
                return  # a reload has removed it
            others = [s for s in now.servers if s.name != target.name and s.streams]
            strays = self._strays(name, target)
            if not others and not strays:
                break
            if self._clock() >= deadline:
                log.warning("%s: streams on other nodes do not end; trying again", name)
                return
            time.sleep(PAUSE)
        if not any(s.usable and s.name == target.name for s in now.servers):
            return  # the next look finds a better one
        self._haproxy.approve(name, target, now.usable)
        if closed or self._active.get(name) != target.name:
            log.info(
                "%s: clients use %s; %d streams on other nodes were closed in %.2f s",
                name,
                target.name,
                closed,
                self._clock() - began,
            )
        self._active[name] = target.name

    def _close_politely(self, name: str, target: Server, deadline: float) -> int:
        """Close streams that wait for no answer, until the time is up."""
        closed = 0
        while self._clock() < deadline:
            strays = self._strays(name, target)
            if not strays:
                break
            found = connections_of(strays)
            for start in range(0, len(found), AT_ONCE):
                if self._clock() < deadline:
                    few = found[start : start + AT_ONCE]
                    closed += self._closing.close_answered(few, "ordered")
            time.sleep(PAUSE)
        return closed
