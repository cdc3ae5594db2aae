"""Joins what AWS says with what people decided, or refuses to.

Everything that can be refused is refused here, before a node is touched, all problems
at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from portway.errors import GROUP_DATA, Problem, refuse_if_any
from portway.model.cluster import Backend, Cluster, Frontend, LoadBalancer, Server
from portway.model.named_nodes import named_node_problems, named_node_warnings
from portway.model.priorities import CLAIM_WEIGHT, Priorities, violations
from portway.model.problems import (
    client_problems,
    clients_own_problems,
    pair_problems,
)
from portway.model.stack import Node, Role, Stack

if TYPE_CHECKING:  # pydantic is most of what an import of these costs
    from portway.model.clients import Client, Clients
    from portway.model.settings import Settings


def build_cluster(stack: Stack, settings: Settings, clients: Clients) -> Cluster:
    """Join what AWS says with what people decided.

    Raises PortwayError with every problem at once, each with its entry and fix.
    """
    servers, problems = _servers(stack, clients)
    problems = [*clients.problems, *problems]
    problems += named_node_problems(stack, clients)
    problems += client_problems(stack, settings, clients, servers)
    problems += priority_problems(settings)
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
        load_balancers=_load_balancers(
            stack, _priorities(settings), at_once=settings.fail_back == 0
        ),
        frontends=tuple(
            _frontend(client, settings, backends[client.client_name], servers)
            for client in enabled
        ),
        backends=tuple(sorted(set(backends.values()), key=lambda b: b.name)),
        warnings=(*clients.warnings, *named_node_warnings(stack, clients)),
    )


def problems_in_any_stack(settings: Settings, clients: Clients) -> list[Problem]:
    """What ``build_cluster`` would refuse whatever the stack is."""
    nodes = clients.app_nodes
    known = None if nodes is None else {node.app_node_name for node in nodes}
    return [
        *clients.problems,
        *clients_own_problems(settings, clients, known),
        *priority_problems(settings),
    ]


def priority_problems(settings: Settings) -> list[Problem]:
    """What is wrong with the VRRP priorities."""
    found = violations(_priorities(settings))
    return [Problem(GROUP_DATA, "", text) for text in found]


def _priorities(settings: Settings) -> Priorities:
    return Priorities(
        settings.master_priority, settings.backup_priority, settings.check_weight
    )


def master_of_record(pair: Iterable[Node]) -> Node:
    """The node that is master while both are healthy.

    A tag ``portway:master`` wins; else the instance launched first, ties by instance
    id. That needs no memory. When a node is replaced, the survivor has the address
    already and was launched first, so nothing moves.
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
        text = (
            "has no running application node; update the stack with ApplicationNodes "
            "of at least 1"
        )
        return (), [Problem(stack.name, "", text)]
    return tuple(Server(node.name, node.address) for node in nodes), []


def _load_balancers(
    stack: Stack, priorities: Priorities, *, at_once: bool
) -> tuple[LoadBalancer, ...]:
    pair = stack.with_role(Role.LOAD_BALANCER)
    master = master_of_record(pair)
    holder = stack.virtual_address.holder or master.interface_id

    def member(node: Node) -> LoadBalancer:
        base = priorities.master if node is master else priorities.backup
        return LoadBalancer(
            node=node,
            peer=next((other for other in pair if other is not node), None),
            is_master=node is master,
            priority=base,
            healthy_priority=priorities.effective(base, healthy=True),
            transfer_weight=priorities.transfer_weight,
            stay_weight=0 if node is master or at_once else priorities.stay_weight,
            claim_weight=CLAIM_WEIGHT if node is master and not at_once else 0,
            holds_address=node.interface_id == holder,
        )

    return tuple(sorted(map(member, pair), key=lambda lb: lb.holds_address))


def _backend(
    client: Client, settings: Settings, servers: tuple[Server, ...]
) -> Backend:
    balance = client.balance or settings.balance
    idle_timeout = _idle_timeout(client, settings)
    chosen = tuple(s for s in servers if client.nodes is None or s.name in client.nodes)
    order = {name: place for place, name in enumerate(client.nodes or ())}
    if client.ordered:  # the one that is preferred first
        chosen = tuple(sorted(chosen, key=lambda server: order.get(server.name, 0)))
    parts: list[str] = [client.mode, "ordered" if client.ordered else balance]
    if client.app_port is not None:
        parts.append(f"port-{client.app_port}")
    if client.idle_timeout is not None:
        parts.append(f"idle-{idle_timeout}")
    if client.send_proxy:
        parts.append("proxy")
    if client.nodes is not None:
        names = " ".join(client.nodes if client.ordered else sorted(set(client.nodes)))
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


def _idle_timeout(client: Client, settings: Settings) -> int:
    usual = settings.http_timeout if client.mode == "http" else settings.idle_timeout
    return client.idle_timeout or usual


def _frontend(
    client: Client, settings: Settings, backend: Backend, servers: tuple[Server, ...]
) -> Frontend:
    known = {server.name for server in servers}
    return Frontend(
        name=client.client_name,
        port=client.client_port,
        mode=client.mode,
        backend=backend.name,
        idle_timeout=_idle_timeout(client, settings),
        allow=client.allow or (),
        max_connections=client.max_connections,
        retire_after=client.retire_after,
        description=client.description,
        absent=tuple(name for name in client.nodes or () if name not in known),
    )
