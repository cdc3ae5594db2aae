"""Stack, settings and clients joined and checked: all that is rendered from.

Pure. Everything that can be refused is refused here, before a node is touched,
all problems at once.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from portway.clients import Balance, Client, Clients, Mode
from portway.errors import Problem, refuse_if_any
from portway.node.address.places import AddressKind
from portway.pair import pair_problems
from portway.settings import SOURCE, Settings
from portway.stack import Node, Ports, Role, Stack
from portway.vrrp import Priorities, violations

SSH_PORT = 22
STATS_FRONTEND = "stats"


@dataclass(frozen=True, slots=True)
class Server:
    """An application node as HAProxy sees it; it has no port but the client's."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Backend:
    """Servers shared by every client with the same needs."""

    name: str
    mode: Mode
    balance: Balance
    idle_timeout: int
    """Seconds."""
    send_proxy: bool
    ordered: bool
    port: int | None
    """Port on the servers; None keeps the one that the connection came in on."""
    servers: tuple[Server, ...]
    """The first is the active one if ``ordered``."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """One enabled client's port on the load balancers."""

    name: str
    port: int
    mode: Mode
    backend: str
    idle_timeout: int
    """Seconds."""
    allow: tuple[IPv4Network | IPv6Network, ...]
    """Sources that may connect; empty for anyone."""
    max_connections: int | None
    description: str


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """One node of the pair, its part in it, and its peer."""

    node: Node
    peer: Node
    is_master: bool
    """Whether it is the master of record, with the higher base priority."""
    priority: int
    """Its base priority."""
    healthy_priority: int
    """What it advertises while its check succeeds."""
    transfer_weight: int
    """What a planned transfer adds to the priority of the node that hands over."""
    holds_address: bool
    """Whether clients reach this node now. While no node holds the address (a new
    stack), the master of record counts as the holder-to-be."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name


@dataclass(frozen=True, slots=True)
class Cluster:
    """One deployment, complete and consistent."""

    stack: Stack
    settings: Settings
    load_balancers: tuple[LoadBalancer, LoadBalancer]
    """The standby first, the holder of the address last: the order of a rollout."""
    frontends: tuple[Frontend, ...]
    """By port."""
    backends: tuple[Backend, ...]
    """By name."""

    @property
    def address_on_lo(self) -> bool:
        """Whether AWS brings the traffic, so that no neighbour asks for the address."""
        return self.stack.virtual_address.kind is not AddressKind.VRRP

    def load_balancer(self, name: str) -> LoadBalancer:
        """The load balancer of this name; KeyError if there is none."""
        return {lb.name: lb for lb in self.load_balancers}[name]


def build_cluster(stack: Stack, settings: Settings, clients: Clients) -> Cluster:
    """Join what AWS says with what people decided.

    Raises PortwayError that tells every problem at once, each with its entry and fix.
    """
    servers, problems = _servers(stack, clients)
    problems = [*clients.problems, *problems]
    problems += _client_problems(stack.ports, settings, clients, servers)
    priorities = Priorities(
        settings.master_priority, settings.backup_priority, settings.check_weight
    )
    problems += [Problem(SOURCE, "", text) for text in violations(priorities)]
    problems += pair_problems(stack)
    refuse_if_any(problems)
    enabled = sorted(
        (client for client in clients.clients if client.enabled),
        key=lambda client: client.client_port,
    )
    backends = {c.client_name: _backend(c, settings, servers) for c in enabled}
    return Cluster(
        stack=stack,
        settings=settings,
        load_balancers=_load_balancers(stack, priorities),
        frontends=tuple(
            _frontend(client, settings, backends[client.client_name])
            for client in enabled
        ),
        backends=tuple(sorted(set(backends.values()), key=lambda b: b.name)),
    )


def master_of_record(pair: Iterable[Node]) -> Node:
    """The node that is master while both are healthy.

    A tag ``portway:master`` wins; else the one launched first, ties by instance id.
    That needs no memory, and when a node is replaced the survivor, who holds the
    address already, is the older: nothing moves.
    """
    return min(
        pair, key=lambda n: (not n.preferred_master, n.launched_at, n.instance_id)
    )


def _servers(
    stack: Stack, clients: Clients
) -> tuple[tuple[Server, ...], list[Problem]]:
    """The application nodes, those of the clients file first if it names any."""
    if clients.app_nodes is not None:
        given = clients.app_nodes
        return tuple(
            Server(node.app_node_name, str(node.app_node_ip)) for node in given
        ), []
    nodes = stack.with_role(Role.APPLICATION)
    if not nodes:
        text = "has no running application node; a load balancer without one is useless"
        return (), [Problem(stack.name, "", text)]
    return tuple(Server(node.name, node.address) for node in nodes), []


def _client_problems(
    ports: Ports, settings: Settings, clients: Clients, servers: tuple[Server, ...]
) -> Iterator[Problem]:
    reserved = _reserved_ports(ports, settings)
    known = {server.name for server in servers}

    def refuse(client: Client, text: str) -> Problem:
        return Problem(clients.source, client.client_name, text)

    if clients.clients and not any(client.enabled for client in clients.clients):
        yield Problem(clients.source, "", "every client is disabled; enable one")
    for client in clients.clients:
        port = client.client_port
        if client.client_name.lower() == STATS_FRONTEND:
            yield refuse(client, "the name is taken by the statistics page; rename it")
        for field, value in (("client_port", port), ("app_port", client.app_port)):
            if value in reserved:
                text = f"{field} {value} is used by {reserved[value]}; choose another"
                yield refuse(client, text)
        if not ports.first_client <= port <= ports.last_client:
            yield refuse(
                client,
                f"port {port} is outside {ports.first_client}-{ports.last_client}, "
                "the range that the stack's security groups open; choose one inside, "
                "or update the stack with another ClientPortFrom or ClientPortTo",
            )
        if (client.max_connections or 0) > settings.max_connections:
            text = (
                f"max_connections {client.max_connections} is above what a load "
                f"balancer serves in all, {settings.max_connections}; lower it, or "
                "raise max_connections in group_data"
            )
            yield refuse(client, text)
        if client.ordered and client.balance:
            text = "ordered has one active node, so there is nothing to balance; "
            yield refuse(client, f"{text}remove balance or ordered")
        for name in sorted(set(client.nodes or ()) - known):
            text = f'nodes: there is no application node "{name}"; there are '
            yield refuse(client, text + ", ".join(sorted(known)))


def _reserved_ports(ports: Ports, settings: Settings) -> dict[int | None, str]:
    return {
        **dict.fromkeys(settings.reserved_ports, "reserved_ports in group_data"),
        SSH_PORT: "SSH",
        ports.stats: "the statistics page",
        ports.health: "the application's health checks",
    }


def _load_balancers(
    stack: Stack, priorities: Priorities
) -> tuple[LoadBalancer, LoadBalancer]:
    first, second = stack.with_role(Role.LOAD_BALANCER)
    master = master_of_record((first, second))
    holder = stack.virtual_address.holder or master.interface_id

    def member(node: Node, peer: Node) -> LoadBalancer:
        base = priorities.master if node is master else priorities.backup
        return LoadBalancer(
            node=node,
            peer=peer,
            is_master=node is master,
            priority=base,
            healthy_priority=priorities.effective(base, healthy=True),
            transfer_weight=priorities.transfer_weight,
            holds_address=node.interface_id == holder,
        )

    pair = member(first, second), member(second, first)
    return pair if pair[1].holds_address else (pair[1], pair[0])


def _backend(
    client: Client, settings: Settings, servers: tuple[Server, ...]
) -> Backend:
    balance = client.balance or settings.balance
    idle_timeout = client.idle_timeout or settings.idle_timeout
    chosen = tuple(s for s in servers if client.nodes is None or s.name in client.nodes)
    parts: list[str] = [client.mode, "ordered" if client.ordered else balance]
    if client.app_port is not None:
        parts.append(f"port-{client.app_port}")
    if client.idle_timeout is not None:
        parts.append(f"idle-{idle_timeout}")
    if client.send_proxy:
        parts.append("proxy")
    if client.nodes is not None:
        names = " ".join(sorted(set(client.nodes)))
        parts.append(f"nodes-{hashlib.sha256(names.encode()).hexdigest()[:8]}")
    return Backend(
        name="_".join(parts),
        mode=client.mode,
        balance=balance,
        idle_timeout=idle_timeout,
        send_proxy=client.send_proxy,
        ordered=client.ordered,
        port=client.app_port,
        servers=chosen,
    )


def _frontend(client: Client, settings: Settings, backend: Backend) -> Frontend:
    return Frontend(
        name=client.client_name,
        port=client.client_port,
        mode=client.mode,
        backend=backend.name,
        idle_timeout=client.idle_timeout or settings.idle_timeout,
        allow=client.allow or (),
        max_connections=client.max_connections,
        description=client.description,
    )
