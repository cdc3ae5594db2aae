"""The ports on which the application must listen on one node."""

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


def listeners(cluster: Cluster, node: Node) -> tuple[Listener, ...]:
    """The ports on which load balancers connect to this node, in order."""
    backends = {backend.name: backend for backend in cluster.backends}
    found: dict[int, Listener] = {}
    for frontend in cluster.frontends:
        backend = backends[frontend.backend]
        if any(server.address == node.address for server in backend.servers):
            port = backend.port or frontend.port
            listener = Listener(frontend.name, port, backend.mode, backend.send_proxy)
            found.setdefault(port, listener)
    return tuple(found[port] for port in sorted(found))
