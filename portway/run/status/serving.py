"""Whether each client is served, and by which application nodes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from portway.load_balancers.status import DownServer
from portway.model.cluster import Backend, Cluster, Frontend
from portway.run.status.values import SeenNode, System

SERVED, FULL, REFUSED = "served", "full", "refused"
NOBODY, UNKNOWN = "nobody serves it", "not known"


@dataclass(frozen=True, slots=True)
class Serving:
    """How one client is served."""

    state: str
    nodes: tuple[str, ...] = ()
    problem: str = ""


def serving(system: System) -> dict[str, Serving]:
    """How each client is served at the load balancer that clients reach now.

    While it cannot be asked, at any that can.
    """
    entrance = _entrance(system)
    backends = {backend.name: backend for backend in system.cluster.backends}
    if entrance is None or entrance.balancer is None:
        why = "no load balancer answers"
        unknown = Serving(UNKNOWN, problem=why)
        return {f.name: unknown for f in system.cluster.frontends}
    view = _View(system, entrance)
    return {
        frontend.name: view.serving(frontend, backends[frontend.backend])
        for frontend in system.cluster.frontends
    }


def _entrance(system: System) -> SeenNode | None:
    """The load balancer that clients reach; one that answers, if that is not known."""
    named = [system.node(name) for name in (system.holder, *system.masters) if name]
    answering = [seen for seen in named if seen and seen.balancer is not None]
    if answering:
        return answering[0]
    if system.holder and not system.aws_problem:
        return None  # clients reach one that does not answer
    return next(iter(system.balancers), None)


class _View:
    """What one load balancer and the application nodes say of clients."""

    def __init__(self, system: System, entrance: SeenNode) -> None:
        assert entrance.balancer is not None  # noqa: S101 - the caller has looked
        self._name = entrance.node.name
        self._status = entrance.balancer
        self._states = {
            c.client: c.state for c in entrance.traffic.clients if not c.worker
        }
        self._down: Mapping[tuple[str, str], DownServer] = {
            (server.backend, server.name): server for server in self._status.down
        }
        self._ports = _listening(system)

    def serving(self, frontend: Frontend, backend: Backend) -> Serving:
        """How a client is served."""
        if frontend.name not in self._status.frontends:
            why = (
                "HAProxy does not answer"
                if not self._status.frontends
                else f"port {frontend.port} is not open"
            )
            return Serving(REFUSED, problem=f"{self._name}: {why}")
        if not backend.servers:
            gone = ", ".join(frontend.absent)
            return Serving(NOBODY, problem=f"there is no node of the name {gone} now")
        port = backend.port or frontend.port
        reasons: dict[str, str] = {}
        nodes = []
        for server in backend.servers:
            found = self._down.get((backend.name, server.name))
            listens = self._ports.get(server.name)
            if found is not None:
                reasons[server.name] = found.why or found.state
            elif listens is not None and port not in listens:
                reasons[server.name] = f"nothing listens on its port {port}"
            else:
                nodes.append(server.name)
        problem = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        if not nodes:
            return Serving(NOBODY, problem=problem)
        state = FULL if self._states.get(frontend.name) == "FULL" else SERVED
        return Serving(state, tuple(nodes), problem)


def _listening(system: System) -> dict[str, frozenset[int]]:
    """The ports on which application nodes listen, of those that answered."""
    return {
        seen.node.name: seen.application.ports
        for seen in system.nodes
        if seen.application is not None
    }


def without_anybody(cluster: Cluster, served: Mapping[str, Serving]) -> list[Frontend]:
    """The clients that nobody serves or that are refused."""
    bad = (NOBODY, REFUSED)
    return [f for f in cluster.frontends if served[f.name].state in bad]
