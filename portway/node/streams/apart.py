"""``ordered`` clients that need another server than the other clients of their backend.

A node may be healthy and refuse one client's port. Such a client goes on to the next
server, the others stay. Nobody is moved to a server that does not serve it either.
"""

from collections.abc import Callable, Iterator, Mapping

from portway.contract.streams import STICK_TABLE_KEY, OrderedBackend
from portway.node.streams.haproxy import Backend, Haproxy, Server
from portway.node.streams.ports import Place, Ports

LIST_EVERY = 1.0
"""Seconds between two looks at who connects while connections fail."""
RECENT = 60.0
"""Seconds after which too many others have connected as well."""


class Apart:
    """Knows whom the active server refuses, and which servers would serve him."""

    def __init__(
        self,
        backends: Mapping[str, OrderedBackend],
        haproxy: Haproxy,
        clock: Callable[[], float],
    ) -> None:
        self._wanted = backends
        self._haproxy = haproxy
        self._clock = clock
        self._ports = Ports(clock)
        self._errors: dict[str, int] = {}
        self._before: dict[str, tuple[float, dict[str, int]]] = {}
        """When clients' connections were last counted, and how many there were."""
        self._keys: dict[str, int] = {}

    def forget(self) -> None:
        """A new worker counts from zero, and gives its frontends other ids."""
        self._errors.clear()
        self._before.clear()
        self._keys.clear()

    def turn(self) -> None:
        """Look at ports that are due."""
        self._ports.turn()

    def see(self, name: str, backend: Backend) -> None:
        """Note who may have been refused, or is apart already.

        HAProxy counts failed connections by server only, so all are meant that have
        connected in the same time. Streams last for days: these are few.
        """
        wanted = self._wanted[name]
        errors = sum(server.errors for server in backend.servers)
        now = self._clock()
        when, before = self._before.get(name, (float("-inf"), {}))
        if errors != self._errors.get(name, 0) and now - when >= LIST_EVERY:
            found = self._haproxy.frontends()
            sessions = {c: found[c][1] for c in wanted.clients if c in found}
            self._errors[name], self._before[name] = errors, (now, sessions)
            for client, count in sessions.items():
                if now - when <= RECENT and count > before.get(client, count):
                    self._suspect(client, wanted, backend)
        for client in self._ports.clients() & wanted.clients.keys():
            self._ports.place(client, _places(wanted.clients[client], backend))
        if len(backend.entries) > 1:
            for client, key in self._keys_of(wanted).items():
                if key in backend.entries:
                    # If this program is new, it has not seen who refused it.
                    better = _before(backend.entries[key][0], wanted.servers)
                    self._suspect(client, wanted, backend, better)

    def _suspect(
        self,
        client: str,
        wanted: OrderedBackend,
        backend: Backend,
        refused: tuple[str, ...] = (),
    ) -> None:
        places = _places(wanted.clients[client], backend)
        self._ports.suspect(client, places, refused)

    def clients(
        self, name: str, backend: Backend
    ) -> Iterator[tuple[str, int, list[Server]]]:
        """Clients that are looked at, their keys, and the servers that serve them.

        The one that a client uses serves it until it is known to refuse it.
        """
        wanted = self._wanted[name].clients
        for client in self._ports.clients() & wanted.keys():
            key = self._keys_of(self._wanted[name])[client]
            own, _ = backend.entries.get(key, (None, 0))
            current = own or backend.entries.get(STICK_TABLE_KEY, (None, 0))[0]
            yield (
                client,
                key,
                [
                    server
                    for server in backend.servers
                    if self._ports.accepts(client, server.name)
                    or (
                        server.name == current
                        and not self._ports.refuses(client, server.name)
                    )
                ],
            )

    def _keys_of(self, wanted: OrderedBackend) -> dict[str, int]:
        if not wanted.clients.keys() <= self._keys.keys():
            found = self._haproxy.frontends()
            self._keys = {c: i + STICK_TABLE_KEY for c, (i, _) in found.items()}
        return {c: self._keys[c] for c in wanted.clients if c in self._keys}


def _places(port: int, backend: Backend) -> dict[str, Place]:
    return {server.name: (server.address, port) for server in backend.servers}


def _before(name: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return names[: names.index(name)] if name in names else ()
