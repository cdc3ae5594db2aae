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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from portway.contract.streams import HELD, STICK_TABLE_KEY, OrderedBackend
from portway.node.streams.apart import Apart
from portway.node.streams.closing import Closing, connections_of
from portway.node.streams.haproxy import (
    AT_ONCE,
    NEWEST,
    NO_SERVER,
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


LIST_EVERY = 1.0
"""Seconds between two listings of the newest worker's streams while nothing moves."""


@dataclass(frozen=True, slots=True)
class Group:
    """Clients of one backend that use the same server: all, but for a few at times."""

    backend: str
    clients: frozenset[str]
    key: int = STICK_TABLE_KEY
    is_whole: bool = True
    """Whether these are all clients of the backend."""

    @property
    def name(self) -> str:
        """What the journal calls it."""
        own = self.key != STICK_TABLE_KEY
        return f"{self.backend} ({', '.join(self.clients)})" if own else self.backend


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
        self._apart = Apart(backends, haproxy, clock)
        self._active: dict[tuple[str, int], str] = {}
        """The server that was last approved, by backend and key."""
        self._since: dict[tuple[str, str], float] = {}
        """When a server was first seen to be usable, without a break since."""
        self._clean: dict[tuple[str, int], tuple[int, str]] = {}
        """For which listing of older workers and which node's address there were no
        strays."""
        self._listing: tuple[float, list[Stream]] = float("-inf"), []

    def look(self, *, reloaded: bool) -> None:
        """Bring every backend into order. OSError if HAProxy does not answer."""
        if not self._wanted:
            return
        if reloaded:
            self._since.clear()
            self._apart.forget()
        self._apart.turn()
        for name, backend in self._haproxy.backends(self._wanted).items():
            if name in self._wanted:
                self._look_at(name, backend)

    def _look_at(self, name: str, backend: Backend) -> None:
        self._note_usable(name, backend)
        everybody = Group(name, frozenset(self._wanted[name].clients))
        target = self._target(everybody, backend, backend.servers)
        if target is None:
            return  # there is nothing to keep apart: HAProxy refuses its clients
        self._apart.see(name, backend)
        lone = self._lone(everybody, backend, target)
        for client, (key, server) in lone.items():
            group = Group(name, frozenset((client,)), key, is_whole=False)
            if self._bring(group, backend.of(key), server) and server == target:
                self._haproxy.forget(name, key)
        rest = replace(
            everybody, clients=everybody.clients - lone.keys(), is_whole=not lone
        )
        self._bring(rest, backend, target)

    def _lone(
        self, everybody: Group, backend: Backend, target: Server
    ) -> dict[str, tuple[int, Server]]:
        """The clients with a server for themselves, each with its key in the table.

        Among them those that use the same server as the others again, until they do.
        """
        found = {}
        for client, key, servers in self._apart.clients(everybody.backend, backend):
            group = Group(everybody.backend, frozenset((client,)), key)
            own = target
            if target not in servers:
                own = self._target(group, backend.of(key), servers) or target
            if own is not target or key in backend.entries:
                found[client] = key, own
        return found

    def _bring(self, group: Group, backend: Backend, target: Server) -> bool:
        """Bring these clients to a server; whether they were there."""
        in_order = backend.chosen == target.name and backend.is_approved
        if (
            in_order
            and not self._has_strays(group, backend, target)
            and not self._older_strays(group, backend, target)
        ):
            self._active[group.backend, group.key] = target.name
            return True
        self._move(group, backend, target)
        return False

    def _has_strays(self, group: Group, backend: Backend, target: Server) -> bool:
        if not group.is_whole:
            return bool(_strays_of(group, backend, target, self._listed()))
        others = [s for s in backend.servers if s.streams and s.name != target.name]
        if any(server.alive for server in others):
            return True
        return bool(others and _strays_of(group, backend, target, self._list()))

    def _listed(self) -> list[Stream]:
        """The newest worker's streams, as they were not long ago."""
        if self._clock() - self._listing[0] >= LIST_EVERY:
            self._list()
        return self._listing[1]

    def _list(self) -> list[Stream]:
        self._listing = self._clock(), self._haproxy.streams(NEWEST)
        return self._listing[1]

    def _note_usable(self, name: str, backend: Backend) -> None:
        now = self._clock()
        for server in backend.servers:
            if server.usable:
                self._since.setdefault((name, server.name), now)
            else:
                self._since.pop((name, server.name), None)

    def _target(
        self, group: Group, backend: Backend, servers: Iterable[Server]
    ) -> Server | None:
        """Which of the servers clients should use now; None if none is usable."""
        order = self._wanted[group.backend].servers
        usable = sorted(
            (server for server in servers if server.usable),
            key=lambda s: order.index(s.name) if s.name in order else len(order),
        )
        active = self._active.get((group.backend, group.key))
        current = backend.chosen or active or self._used(group, backend)
        steady = self._clock() - STEADY
        for server in usable:
            since = self._since[group.backend, server.name]
            if server.name == current or since <= steady:
                return server
        return usable[0] if usable else None

    def _used(self, group: Group, backend: Backend) -> str | None:
        """The server that has most streams of older workers."""
        found = [a for s, a in self._older.watched() if s.client in group.clients]
        counts = {s.name: found.count(s.address) for s in backend.servers}
        most = max(counts, key=lambda server: counts[server], default=None)
        return most if most and counts[most] else None

    def _older_strays(
        self, group: Group, backend: Backend, target: Server
    ) -> list[Stream]:
        """Streams of these clients that older workers have on other nodes.

        A client may have used another backend then.
        """
        dead = {server.address for server in backend.servers if not server.alive}
        listing = self._older.generation, target.address
        place = group.backend, group.key
        if self._clean.get(place) == listing:
            return []
        strays = [
            (stream, address)
            for stream, address in self._older.watched()
            if stream.client in group.clients and address not in ("", target.address)
        ]
        if not strays:
            self._clean[place] = listing
        return [s for s, address in strays if s.is_established or address not in dead]

    def _strays(self, group: Group, backend: Backend, target: Server) -> list[Stream]:
        """All streams that are on another node now."""
        self._older.list_again()
        newest = _strays_of(group, backend, target, self._list())
        return newest + self._older_strays(group, backend, target)

    def _move(self, group: Group, backend: Backend, target: Server) -> None:
        """Close all streams on other nodes, then let connections pass to this one."""
        began, name = self._clock(), group.backend
        if group.key != STICK_TABLE_KEY:
            # The node that refuses the client is no place to go when time is up.
            self._haproxy.approve(name, group.key, target, usable=0)
        elif backend.chosen and backend.approved:
            self._haproxy.hold(name, group.key)
        strays, closed = self._strays(group, backend, target), 0
        dead = {server.name for server in backend.servers if not server.alive}
        if any(stream.server not in dead for stream in strays):
            closed += self._close_politely(group, backend, target, began + POLITE)
            strays = self._strays(group, backend, target)
        deadline = None
        while True:
            # Those that are being connected are closed when they are.
            closed += self._closing.close(strays, "ordered")
            deadline = deadline or self._clock() + SURE
            now = self._haproxy.backends([name]).get(name)
            if now is None:
                return  # a reload has removed it
            strays = self._strays(group, now, target)
            if not strays and not (
                group.is_whole and self._has_strays(group, now, target)
            ):
                break
            if self._clock() >= deadline:
                if not any(stream.is_established for stream in strays):
                    # Whoever comes now goes to the right node; those that are being
                    # connected are streams soon, and closed then, or give up.
                    self._haproxy.approve(name, group.key, target, usable=0)
                log.warning(
                    "%s: streams on other nodes do not end; trying again", group.name
                )
                return
            time.sleep(PAUSE)
        if not any(s.usable and s.name == target.name for s in now.servers):
            return  # the next look finds a better one
        self._haproxy.approve(name, group.key, target, now.usable)
        if closed or self._active.get((name, group.key)) != target.name:
            log.info(
                "%s: clients use %s; %d streams on other nodes were closed in %.2f s",
                group.name,
                target.name,
                closed,
                self._clock() - began,
            )
        self._active[name, group.key] = target.name

    def _close_politely(
        self, group: Group, backend: Backend, target: Server, deadline: float
    ) -> int:
        """Close streams that wait for no answer, until the time is up."""
        closed = 0
        while self._clock() < deadline:
            strays = self._strays(group, backend, target)
            if not strays:
                break
            found = connections_of(strays)
            for start in range(0, len(found), AT_ONCE):
                if self._clock() < deadline:
                    few = found[start : start + AT_ONCE]
                    closed += self._closing.close_answered(few, "ordered")
            time.sleep(PAUSE)
        return closed


def _strays_of(
    group: Group, backend: Backend, target: Server, streams: list[Stream]
) -> list[Stream]:
    """The clients' streams on other servers.

    Not those that are being connected to one that is dead: no message gets there.
    """
    dead = {server.name for server in backend.servers if not server.alive}
    return [
        stream
        for stream in streams
        if stream.backend == group.backend
        and stream.client in group.clients
        and stream.server not in (target.name, NO_SERVER)
        and (stream.is_established or stream.server not in dead)
    ]
