"""Application nodes that the clients file names, held against those of the stack. Pure.

They are used instead of what AWS has, so that one which is replaced or added there
gets no traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from portway.errors import Problem
from portway.model.stack import Role, Stack

if TYPE_CHECKING:  # pydantic is most of what an import of these costs
    from portway.model.clients import Clients

REMEDY = "remove app_nodes from the file to use the application nodes that AWS has"


def named_node_problems(stack: Stack, clients: Clients) -> Iterator[Problem]:
    """Addresses at which no application can be, each with the fix."""
    taken = {
        node.address: f"{node.name}, a load balancer"
        for node in stack.with_role(Role.LOAD_BALANCER)
    }
    taken[stack.virtual_address.address] = "that which clients connect to"
    for named in clients.app_nodes or ():
        if owner := taken.get(str(named.app_node_ip)):
            text = (
                f"app_node_ip {named.app_node_ip} is the address of {owner}; write "
                f"that of an application node, or {REMEDY}"
            )
            yield Problem(clients.source, named.app_node_name, text)


def named_node_warnings(stack: Stack, clients: Clients) -> Iterator[str]:
    """How the file's nodes differ from the stack's; nothing if it names none."""
    if clients.app_nodes is None:
        return
    named = {str(node.app_node_ip): node.app_node_name for node in clients.app_nodes}
    nodes = stack.with_role(Role.APPLICATION)
    known = {node.address for node in nodes}
    if foreign := [f"{n} ({a})" for a, n in named.items() if a not in known]:
        yield (
            f"{clients.source}: app_nodes has {', '.join(foreign)}, and no running "
            f"application node of stack {stack.name} has that address: this run does "
            f"not change it; {REMEDY}"
        )
    if left := [f"{n.name} ({n.address})" for n in nodes if n.address not in named]:
        yield (
            f"{clients.source}: app_nodes has no {', '.join(left)}, which AWS has: no "
            f"client is sent there; {REMEDY}"
        )
