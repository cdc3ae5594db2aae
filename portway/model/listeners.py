"""The ports that the application listens on on one node, and the way to change one.

A change of a client goes in an order: first the application serves what is used now
and what will be, then the load balancers switch, then the application closes what
nobody uses any more. Pure.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from portway.model.cluster import Cluster
from portway.model.fields import Mode
from portway.model.stack import Node


@dataclass(frozen=True, slots=True)
class Listener:
    """One port of the application, for one client or for several that share it."""

    client: str
    """The client, the first by port where several share the listener."""
    port: int
    mode: Mode
    send_proxy: bool
    """Whether connections begin with a PROXY protocol v2 header."""
    name: str = ""
    """Unlike any other listener's: the client's name, and ``NAME@PORT`` for a port that
    the client is about to leave."""

    @property
    def speech(self) -> tuple[Mode, bool]:
        """What a connection to it must look like."""
        return self.mode, self.send_proxy

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"{self.mode}{' with send_proxy' if self.send_proxy else ''}"


@dataclass(frozen=True, slots=True)
class Route:
    """The way of a client's connections through a load balancer to one node."""

    client_port: int
    address: str
    """Of the application node."""
    listener: Listener


def routes(cluster: Cluster) -> Iterator[Route]:
    """The ways that the load balancers should know, by client port."""
    backends = {backend.name: backend for backend in cluster.backends}
    for frontend in cluster.frontends:
        backend = backends[frontend.backend]
        listener = Listener(
            client=frontend.name,
            port=backend.port or frontend.port,
            mode=backend.mode,
            send_proxy=backend.send_proxy,
            name=frontend.name,
        )
        for server in backend.servers:
            yield Route(frontend.port, server.address, listener)


def application_ports(cluster: Cluster) -> set[int]:
    """The ports on which load balancers connect to any node."""
    backends = {backend.name: backend for backend in cluster.backends}
    return {backends[f.backend].port or f.port for f in cluster.frontends}


def listeners(cluster: Cluster, node: Node) -> tuple[Listener, ...]:
    """The ports on which load balancers connect to this node, in order."""
    found: dict[int, Listener] = {}
    for route in routes(cluster):
        if route.address == node.address:
            found.setdefault(route.listener.port, route.listener)
    return tuple(found[port] for port in sorted(found))


def meanwhile(
    wanted: Collection[Listener], used: Iterable[Listener]
) -> tuple[Listener, ...]:
    """What a node serves until the load balancers have switched, in order.

    What is wanted, and what is used on other ports.
    """
    found = {listener.port: listener for listener in wanted}
    names = Counter(listener.name for listener in wanted)
    for old in used:
        if old.port not in found:
            name = f"{old.client}@{old.port}" if names[old.client] else old.client
            names[name] += 1
            found[old.port] = Listener(
                old.client, old.port, old.mode, old.send_proxy, name
            )
    return tuple(found[port] for port in sorted(found))


def only_used(
    wanted: Collection[Listener], used: Iterable[Listener]
) -> tuple[Listener, ...]:
    """What is used and would be closed, in order of the ports."""
    kept = {listener.port for listener in wanted}
    return tuple(i for i in meanwhile(wanted, used) if i.port not in kept)


def impossible(
    wanted: Collection[Route],
    used: Collection[Route],
    served: Collection[Listener],
) -> Iterator[tuple[str, str]]:
    """Changes that no order makes without a gap on one node: the client, and why not.

    One port speaks one protocol at a time: what is used in one way cannot be served in
    another until the load balancers have switched, and the other way round. And a port
    that goes from one client to another would have the messages of the one taken for
    the other's meanwhile.
    """
    speaks = {listener.port: listener.speech for listener in served}
    before = {route.listener.port: route.listener for route in used}
    ways = {route.client_port: route.listener.port for route in used}
    after = {route.client_port: route for route in wanted}
    for route in wanted:
        new = route.listener
        old = before.get(new.port)
        if old is None or speaks.get(new.port, old.speech) == new.speech:
            continue
        yield (
            new.client,
            f"port {new.port} of the application changes from {old.title} to "
            f"{new.title} while the load balancers use it; give {new.client} "
            "another app_port in the same change",
        )
    for client_port, port in ways.items():
        moved = after.get(client_port)
        if moved is None or moved.listener.port == port:
            continue
        for route in wanted:
            if (
                route.listener.port == port
                and ways.get(route.client_port, port) != port
            ):
                yield (
                    route.listener.client,
                    f"it takes app_port {port} from {moved.listener.client} in one "
                    "change, and meanwhile messages of one would be taken for the "
                    "other's; move one of them to a free port first, and run it",
                )
