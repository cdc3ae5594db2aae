"""Everything that makes a stack, its settings and its clients impossible to deploy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from portway.contract.address import AddressKind
from portway.errors import Problem
from portway.model.cluster import STATS_FRONTEND, Server
from portway.model.stack import Node, Role, Stack

if TYPE_CHECKING:  # pydantic is most of what an import of these costs
    from portway.model.clients import Client, Clients
    from portway.model.settings import Settings

SSH_PORT = 22


ANY_NODE = "*"
"""Stands for the nodes that AWS has, where it was not asked for them."""


def client_problems(
    stack: Stack, settings: Settings, clients: Clients, servers: tuple[Server, ...]
) -> Iterator[Problem]:
    """What is wrong with single clients in this stack, each with the fix."""
    ports = stack.ports
    reserved = {
        ports.stats: "the statistics page",
        ports.health: "the application's health checks",
    }
    known = {server.name for server in servers}
    yield from clients_own_problems(settings, clients, known)
    for client in clients.clients:
        yield from _port_problems(client, clients.source, reserved)
        for field, value in _ports(client):
            if not ports.first_client <= value <= ports.last_client:
                text = (
                    f"{field} {value} is outside {ports.first_client}-"
                    f"{ports.last_client}, the range that the stack's security groups "
                    "open; choose one inside, or update the stack with another "
                    "ClientPortFrom or ClientPortTo"
                )
                yield Problem(clients.source, client.client_name, text)
        unknown = set(client.nodes or ()) - known
        if clients.app_nodes is None:  # the group may yet launch one of its own
            unknown -= set(stack.names)
        for name in sorted(unknown):
            text = _unknown_node(name, stack, known)
            yield Problem(clients.source, client.client_name, text)


def clients_own_problems(
    settings: Settings, clients: Clients, known: Collection[str] | None = None
) -> Iterator[Problem]:
    """What is wrong with single clients in any stack, each with the fix.

    ``known`` are the names of the application nodes; without it, those that the file
    names, and others.
    """
    reserved = {
        **dict.fromkeys(settings.reserved_ports, "reserved_ports in group_data"),
        SSH_PORT: "SSH",
    }
    if known is None:
        known = {name for client in clients.clients for name in client.nodes or ()}
        known |= {ANY_NODE}

    def refuse(client: Client, text: str) -> Problem:
        return Problem(clients.source, client.client_name, text)

    if clients.clients and not any(client.enabled for client in clients.clients):
        yield Problem(clients.source, "", "every client is disabled; enable one")
    for client in clients.clients:
        if client.client_name.lower() == STATS_FRONTEND:
            yield refuse(client, "the name is taken by the statistics page; rename it")
        yield from _port_problems(client, clients.source, reserved)
        if (client.max_connections or 0) > settings.max_connections:
            text = (
                f"max_connections {client.max_connections} is above what a load "
                f"balancer serves in all, {settings.max_connections}; lower it, or "
                "raise max_connections in group_data"
            )
            yield refuse(client, text)
        if client.allow and all(network.version == 6 for network in client.allow):
            text = (
                "allow has IPv6 networks only, and clients connect over IPv4, so "
                "nobody could; add an IPv4 network, or remove allow"
            )
            yield refuse(client, text)
        if client.ordered and client.balance:
            text = "ordered has one active node, so there is nothing to balance; "
            yield refuse(client, f"{text}remove balance or ordered")
    yield from _shared_port_problems(clients, known)


def _ports(client: Client) -> Iterator[tuple[str, int]]:
    yield "client_port", client.client_port
    if client.app_port:
        yield "app_port", client.app_port


def _port_problems(
    client: Client, source: str, reserved: Mapping[int, str]
) -> Iterator[Problem]:
    for field, value in _ports(client):
        if value in reserved:
            text = f"{field} {value} is used by {reserved[value]}; choose another"
            yield Problem(source, client.client_name, text)


def _unknown_node(name: str, stack: Stack, known: Collection[str]) -> str:
    nodes = [n for n in stack.nodes if n.name in known]
    renamed = [n for n in nodes if name in n.former_names]
    if renamed and renamed[0].instance_id not in renamed[0].name:
        return f'nodes: "{name}" is called {renamed[0].name}; write that'
    text = f'nodes: there is no application node "{name}"; there are '
    text += ", ".join(sorted(known))
    if any(n.name.endswith(f"-{n.instance_id}") for n in nodes):
        text += "; where a name has an instance id, AWS did not take the tag of the "
        text += "short one: the run says why"
    return text


def _shared_port_problems(
    clients: Clients, known: Collection[str]
) -> Iterator[Problem]:
    """One port of the application speaks one protocol, whoever is sent to it."""
    first: dict[tuple[str, int], Client] = {}
    for client in clients.clients:
        if not client.enabled:
            continue
        port = client.app_port or client.client_port
        users = (first.setdefault((n, port), client) for n in client.nodes or known)
        for other in {user.client_name: user for user in users}.values():
            differing = [
                field
                for field in ("mode", "send_proxy")
                if getattr(client, field) != getattr(other, field)
            ]
            if differing:
                text = (
                    f"port {port} of the application is also {other.client_name}'s, "
                    f"with another {' and '.join(differing)}; give one of them another "
                    "app_port"
                )
                yield Problem(clients.source, client.client_name, text)


def pair_problems(stack: Stack) -> Iterator[Problem]:
    """What is wrong with the load balancers and their address, each with the fix."""
    pair = stack.with_role(Role.LOAD_BALANCER)
    if len(pair) not in (1, 2):  # a run can do without one of them
        names = ", ".join(node.name for node in pair) or "none"
        text = (
            f"needs two running load balancers, but has {len(pair)} ({names}); start "
            "or launch what is missing"
        )
        yield Problem(stack.name, "", text)
    if sum(node.preferred_master for node in pair) > 1:
        text = "both load balancers are tagged portway:master; remove one of the tags"
        yield Problem(stack.name, "", text)
    virtual = stack.virtual_address
    own = {node.interface_id for node in pair}
    for holder in sorted({o.holder for o in virtual.objects if o.holder} - own):
        text = (
            f"points to {holder}, which is not the interface of a running load "
            "balancer of this stack; move it away from there first"
        )
        yield Problem(stack.name, f"address {virtual.address}", text)
    if virtual.kind is AddressKind.PRIVATE:
        yield from _subnet_problems(stack, pair)
    if virtual.kind is AddressKind.ROUTE:
        yield from _check_problems(stack, pair)


def _check_problems(stack: Stack, pair: Iterable[Node]) -> Iterator[Problem]:
    """A route needs a node that accepts packets to other addresses than its own."""
    for node in pair:
        if node.source_dest_check:
            text = (
                "has its source/destination check on, so AWS drops what a route sends "
                "to it; turn it off with aws ec2 modify-instance-attribute "
                f"--no-source-dest-check --instance-id {node.instance_id}"
            )
            yield Problem(stack.name, node.name, text)


def _subnet_problems(stack: Stack, pair: Iterable[Node]) -> Iterator[Problem]:
    """A private address belongs to one subnet and cannot leave it."""
    (subnet,) = (found.id for found in stack.virtual_address.objects)
    for node in pair:
        if node.subnet_id != subnet:
            text = (
                f"is in {node.subnet_id}, but the address "
                f"{stack.virtual_address.address} cannot leave {subnet}; update the "
                "stack with LoadBalancerSubnets=one, or with another AddressKind"
            )
            yield Problem(stack.name, node.name, text)
