"""Whether one client reaches us: asked of all nodes, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass

from portway.errors import PortwayError, unknown_key
from portway.load_balancers.client_streams import ClientSeen, ClientStreamsFacts
from portway.model.cluster import Cluster, Frontend
from portway.model.stack import Node, Role
from portway.ops.remote import Question
from portway.run.nodes import Nodes
from portway.run.status.asking import questions_to, seen_by
from portway.run.status.serving import FULL, SERVED, UNKNOWN, serving
from portway.run.status.values import System


@dataclass(frozen=True, slots=True)
class ClientAt:
    """One client at one load balancer."""

    load_balancer: str
    state: str
    """HAProxy's word for its port, such as ``OPEN``; empty if it has none."""
    accepted: int
    """Connections since HAProxy's processes were started."""
    denied: int
    """How many of them its ``allow`` list turned away."""
    connections: int
    """Open now, in all processes."""
    seen: ClientSeen


@dataclass(frozen=True, slots=True)
class ClientReport:
    """Everything about one client."""

    name: str
    port: int
    description: str
    state: str
    problem: str
    nodes: tuple[str, ...]
    """The application nodes that serve it now."""
    address: str
    holder: str
    """The load balancer that clients reach."""
    allow: tuple[str, ...]
    """The networks that may connect; empty for any."""
    max_connections: int | None
    opened: tuple[int, int]
    """The first and the last port that the stack's security groups open to clients."""
    at: tuple[ClientAt, ...]
    missing: tuple[str, ...]
    """What could not be asked."""

    @property
    def is_port_opened(self) -> bool:
        """Whether the security groups let its port through, from their networks."""
        return self.opened[0] <= self.port <= self.opened[1]

    @property
    def exit_status(self) -> int:
        """0 it is served, 2 it is not, 1 that could not be found out."""
        if self.missing or self.state == UNKNOWN:
            return 1
        return 0 if self.state in (SERVED, FULL) and self.is_port_opened else 2


def look_for(nodes: Nodes, name: str) -> ClientReport:
    """What all nodes know of a client; PortwayError if there is none of that name."""
    frontend = find_client(nodes.cluster, name)

    def questions(node: Node) -> Sequence[Question]:
        client: Question = (ClientStreamsFacts, {"client": name})
        own = [client] if node.role is Role.LOAD_BALANCER else []
        return [*questions_to(nodes.cluster, node), *own]

    answers = nodes.ask(questions)
    streams: dict[str, ClientSeen] = {}
    for node in nodes.stack.nodes:
        answer = answers[node.name]
        if node.role is Role.LOAD_BALANCER and not isinstance(answer, PortwayError):
            *answers[node.name], streams[node.name] = answer
    return report_of(seen_by(nodes, answers), frontend, streams)


def find_client(cluster: Cluster, name: str) -> Frontend:
    """The client of that name; PortwayError if there is none."""
    known = {frontend.name: frontend for frontend in cluster.frontends}
    if name not in known:
        hint = unknown_key(name, known).partition("; ")[2]
        raise PortwayError(
            f"{cluster.settings.clients_file} has no enabled client {name}", do=hint
        )
    return known[name]


def report_of(
    system: System, frontend: Frontend, streams: dict[str, ClientSeen]
) -> ClientReport:
    """The report of one client. Pure."""
    cluster = system.cluster
    found = serving(system)[frontend.name]
    at = []
    for lb in system.balancers:
        traffic = lb.traffic.of(frontend.name)
        state = next((c.state for c in traffic if not c.worker), "")
        at.append(
            ClientAt(
                lb.node.name,
                state,
                sum(c.accepted for c in traffic),
                sum(c.denied for c in traffic),
                sum(c.connections for c in traffic),
                streams.get(lb.node.name, ClientSeen()),
            )
        )
    missing = [f"{s.node.name}: {s.problem}" for s in system.nodes if not s.answers]
    if system.aws_problem:
        missing.append(f"AWS: {system.aws_problem.splitlines()[0]}")
    ports = cluster.stack.ports
    return ClientReport(
        name=frontend.name,
        port=frontend.port,
        description=frontend.description,
        state=found.state,
        problem=found.problem,
        nodes=found.nodes,
        address=cluster.stack.virtual_address.address,
        holder=system.holder,
        allow=tuple(map(str, frontend.allow)),
        max_connections=frontend.max_connections,
        opened=(ports.first_client, ports.last_client),
        at=tuple(at),
        missing=tuple(missing),
    )
