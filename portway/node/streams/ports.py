"""Which clients' ports healthy nodes refuse, or leave without an answer.

It looks only for clients whose connections were seen to fail: each node gets a
connection a second, which is closed at once.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

REFUSED = 4.0
"""Seconds after which a port counts as refused. A node that fails is found by its
health check sooner, and all clients leave it together."""
ACCEPTED = 5.0
"""Seconds after which it does no longer."""
EVERY = 1.0
PATIENCE = 0.5
"""Seconds that a node may take to accept a connection."""
SOON = 0.02
"""Seconds in which almost all accept it, so that none is left open until the next
turn."""
FORGET = 600.0
"""Seconds after which a client is looked at no longer if it has no trouble."""
UNFOUNDED = 10.0
"""The same for one that nobody refuses."""
MOST = 50
"""Clients that are looked at; the same for all would be too many connections."""

Place = tuple[str, int]


@dataclass
class _Port:
    """A client's port on one node."""

    place: Place
    refuses: bool
    is_open: bool | None = None
    """What was last found, and since when it is so."""
    since: float = 0.0
    due: float = 0.0
    trying: socket.socket | None = None
    began: float = 0.0


class Ports:
    """The ports of clients that had trouble."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ports: dict[str, dict[str, _Port]] = {}
        self._suspected: dict[str, float] = {}

    def suspect(
        self, client: str, places: Mapping[str, Place], refused: Collection[str] = ()
    ) -> None:
        """Look at a client's ports, by server.

        A server in ``refused`` is taken for one that refuses it until it is seen.
        """
        if client not in self._ports and len(self._ports) >= MOST:
            return
        self._suspected[client] = self._clock()
        self.place(client, places, refused)

    def place(
        self, client: str, places: Mapping[str, Place], refused: Collection[str] = ()
    ) -> None:
        """Note where the servers are: one that came or moved is looked at afresh."""
        known = self._ports.get(client, {})
        self._ports[client] = {
            server: found
            if (found := known.get(server)) and found.place == place
            else _Port(place, server in refused)
            for server, place in places.items()
        }

    def clients(self) -> Collection[str]:
        """Those that are looked at."""
        return self._ports.keys()

    def refuses(self, client: str, server: str) -> bool:
        """Whether a server does not serve a client."""
        port = self._ports.get(client, {}).get(server)
        return port is not None and port.refuses

    def accepts(self, client: str, server: str) -> bool:
        """Whether a server is seen to serve a client."""
        port = self._ports.get(client, {}).get(server)
        return port is not None and port.is_open is True and not port.refuses

    def turn(self) -> None:
        """Look at what is due."""
        now = self._clock()
        for client, when in tuple(self._suspected.items()):
            refused = any(
                port.refuses or port.is_open is False
                for port in self._ports[client].values()
            )
            if now - when > (FORGET if refused else UNFOUNDED):
                del self._suspected[client], self._ports[client]
        ports = [port for found in self._ports.values() for port in found.values()]
        for port in ports:
            if port.trying is None and port.due <= now:
                _begin(port, now)
        end = now + SOON
        while tried := [port.trying for port in ports if port.trying]:
            ready = select.select([], tried, [], max(0, end - self._clock()))[1]
            for port in ports:
                if port.trying in ready:
                    code = port.trying.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    _note(port, now, is_open=code == 0)
            if not ready:
                break
        for port in ports:
            if port.trying and now - port.began >= PATIENCE:
                _note(port, now, is_open=False)


def _begin(port: _Port, now: float) -> None:
    """Start to connect, so that closing it leaves nothing behind."""
    port.trying = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    port.trying.setblocking(False)
    reset = struct.pack("ii", 1, 0)
    port.trying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    port.began, port.due = now, now + EVERY
    if port.trying.connect_ex(port.place) not in (0, errno.EINPROGRESS):
        _note(port, now, is_open=False)


def _note(port: _Port, now: float, *, is_open: bool) -> None:
    if port.trying:
        port.trying.close()
        port.trying = None
    if port.is_open is not is_open:
        port.is_open, port.since = is_open, now
    if now - port.since >= (ACCEPTED if is_open else REFUSED):
        port.refuses = not is_open
