"""What was seen of a system, as people and programs read it: rows and findings. Pure.

``docs/reference.md`` describes the JSON that is made of these values.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from portway.model.cluster import STATS_FRONTEND, Frontend
from portway.model.stack import Role
from portway.run.status.findings import Finding, Kind, findings
from portway.run.status.serving import Serving, serving
from portway.run.status.values import SeenNode, System


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node on one line."""

    name: str
    role: str
    zone: str
    instance_id: str
    state: str
    """``serves``, ``down``, ``stopped``, ``silent`` or ``new``."""
    vrrp: str
    """``master`` or ``backup``; empty for others and where it is not known."""
    holds_address: bool
    """Whether the address points to it in AWS, or did when that was last known."""
    version: str
    """The release of the application, or what was deployed to a load balancer."""
    connections: int
    """Clients' connections to a load balancer, in all HAProxy processes."""
    note: str
    """What is special about it, such as a transfer, or why it does not answer."""


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client on one line."""

    name: str
    port: int
    state: str
    """``served``, ``full``, ``nobody serves it``, ``refused`` or ``not known``."""
    connections: int
    """In all HAProxy processes of all load balancers."""
    older: int
    """Those of them in older processes."""
    nodes: tuple[str, ...]
    """The application nodes that serve it now."""
    problem: str


@dataclass(frozen=True, slots=True)
class ServerRow:
    """An application node that a load balancer sends nothing to."""

    name: str
    backends: tuple[str, ...]
    seen_by: tuple[str, ...]
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """An older HAProxy process."""

    load_balancer: str
    pid: int
    uptime: str
    connections: int


@dataclass(frozen=True, slots=True)
class Report:
    """A system in one screen."""

    stack: str
    region: str
    seen_at: str
    """ISO 8601, UTC."""
    aws: str
    """Why AWS could not be asked; empty if it answered."""
    aws_read_at: str
    address: str
    address_kind: str
    holder: str
    """The node that has the address in AWS; empty if none or not known."""
    agreement: str
    """What VRRP and AWS say of it together, in words."""
    last_run: str
    """Who deployed what last, when and with what result; empty if nobody did."""
    going_on: str
    """The run that is going on now; empty if there is none."""
    nodes: tuple[NodeRow, ...]
    clients: tuple[ClientRow, ...]
    servers_down: tuple[ServerRow, ...]
    workers: tuple[WorkerRow, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """0 all is well, 2 something is wrong, 1 something could not be found out."""
        kinds = {found.kind for found in self.findings}
        if Kind.UNKNOWN in kinds:
            return 1
        return 2 if Kind.WRONG in kinds else 0


def report(system: System, inventory: str) -> Report:
    """The report of a system; ``inventory`` is what its commands name."""
    stack = system.cluster.stack
    served = serving(system)
    total, older = _connections(system)
    answering = [seen for seen in system.nodes if seen.answers]
    records = [seen.deployed for seen in answering if seen.deployed]
    last = max(records, key=lambda record: record.when, default=None)
    return Report(
        stack=stack.name,
        region=stack.region,
        seen_at=_iso(system.seen_at),
        aws=system.aws_problem,
        aws_read_at=_iso(system.aws_read_at) if system.aws_read_at else "",
        address=stack.virtual_address.address,
        address_kind=stack.virtual_address.kind,
        holder=system.holder,
        agreement=_agreement(system),
        last_run=str(last or ""),
        going_on=next((s.going_on for s in answering if s.going_on), ""),
        nodes=tuple(_node(system, seen) for seen in system.nodes),
        clients=tuple(
            _client(frontend, served[frontend.name], total, older)
            for frontend in system.cluster.frontends
        ),
        servers_down=tuple(_servers_down(system)),
        workers=tuple(
            WorkerRow(seen.node.name, old.pid, old.uptime, old.connections)
            for seen in system.balancers
            for old in seen.traffic.older
        ),
        findings=findings(system, inventory),
    )


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _agreement(system: System) -> str:
    masters = system.masters
    vrrp = f"VRRP master is {' and '.join(masters) or 'no node that answers'}"
    if system.aws_problem:
        where = system.holder or "no node that answers"
        return f"AWS does not say where it points; last seen at {where}; {vrrp}"
    if masters == (system.holder,):
        return f"points to {system.holder}, the VRRP master"
    return f"points to {system.holder or 'no single node'}; {vrrp}"


def _node(system: System, seen: SeenNode) -> NodeRow:
    node = seen.node
    is_balancer = node.role is Role.LOAD_BALANCER
    return NodeRow(
        name=node.name,
        role=node.role,
        zone=node.zone,
        instance_id=node.instance_id,
        state=_state(seen),
        vrrp=_vrrp(seen) if is_balancer else "",
        holds_address=is_balancer and node.name == system.holder,
        version=_version(seen),
        connections=sum(
            c.connections for c in seen.traffic.clients if c.client != STATS_FRONTEND
        ),
        note="; ".join(_notes(seen)),
    )


def _state(seen: SeenNode) -> str:
    if seen.node.is_stopped:
        return "stopped"
    if not seen.answers:
        return "silent"
    if seen.node.role is Role.APPLICATION:
        return _application_state(seen)
    if seen.deployed is None:
        return "new"
    return "serves" if seen.balancer and seen.balancer.backends else "down"


def _application_state(seen: SeenNode) -> str:
    application = seen.application
    if application is None or not application.state:
        return "new"
    return "serves" if application.state == "active" else "down"


def _vrrp(seen: SeenNode) -> str:
    if seen.balancer is None or not seen.balancer.keepalived_active:
        return ""
    return "master" if seen.balancer.is_vrrp_master else "backup"


def _version(seen: SeenNode) -> str:
    if seen.application is not None:
        return seen.application.version
    if seen.deployed is None:
        return ""
    checkout = seen.deployed.checkout
    return checkout.commit[:12] if checkout.commit else f"Portway {checkout.portway}"


def _notes(seen: SeenNode) -> Iterator[str]:
    if seen.problem:
        yield seen.problem.splitlines()[0]
    status = seen.balancer
    if status is not None:
        if status.handed_over:
            yield "has handed the address over on purpose"
        if status.waited is not None:
            yield f"has been serving again for {status.waited:.0f} s"
        if seen.deployed and not seen.traffic.runs:
            yield "HAProxy is not running"
    application = seen.application
    if application is not None and application.state not in ("", "active"):
        yield f"its unit is {application.state}"


def _connections(system: System) -> tuple[Counter[str], Counter[str]]:
    """The connections of each client, and those of them in older processes."""
    total, older = Counter[str](), Counter[str]()
    for lb in system.balancers:
        for found in lb.traffic.clients:
            total[found.client] += found.connections
            older[found.client] += found.connections if found.worker else 0
    return total, older


def _client(
    frontend: Frontend, found: Serving, total: Counter[str], older: Counter[str]
) -> ClientRow:
    return ClientRow(
        name=frontend.name,
        port=frontend.port,
        state=found.state,
        connections=total[frontend.name],
        older=older[frontend.name],
        nodes=found.nodes,
        problem=found.problem,
    )


def _servers_down(system: System) -> Iterator[ServerRow]:
    seen: dict[tuple[str, str, str], tuple[set[str], set[str]]] = {}
    for lb in system.balancers:
        for server in lb.balancer.down if lb.balancer else ():
            key = server.name, server.state, server.why
            backends, lbs = seen.setdefault(key, (set(), set()))
            backends.add(server.backend)
            lbs.add(lb.node.name)
    for (name, state, why), (backends, lbs) in sorted(seen.items()):
        yield ServerRow(name, tuple(sorted(backends)), tuple(sorted(lbs)), state, why)
