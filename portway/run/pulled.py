"""Runs that a node makes of itself: they change that node alone and use no SSH."""

import os
from collections.abc import Collection

from pyinfra.api.state import State

from portway.aws.own_instance import own_instance_id
from portway.errors import PortwayError
from portway.model.pulled import ON_ITSELF
from portway.model.stack import Node, Role, Stack
from portway.ops.connector import connect_as_own

OWN_DATA = {"_sudo": False, "_chdir": "/"}
"""What pyinfra needs to know of such a host: whoever runs this is root, and programs
must not find Portway's files in their folder."""
WAIT_SECONDS = 60.0
"""How long it waits while AWS is busy with the stack: the next one comes soon."""


def is_pulled() -> bool:
    """Whether this run deploys to its own machine."""
    return bool(os.environ.get(ON_ITSELF))


def own_node(stack: Stack, roles: Collection[Role]) -> Node:
    """The node that this machine is, as EC2's metadata service says.

    PortwayError unless it has one of these roles.
    """
    instance = own_instance_id()
    node = next((n for n in stack.nodes if n.instance_id == instance), None)
    if node is None:
        raise PortwayError(
            f"stack {stack.name}: {instance}, which this machine is, is none of its "
            "nodes",
            why="it is being terminated, is in standby, or belongs to another stack",
            do="check the name of the stack",
        )
    if node.role not in roles:
        raise PortwayError(
            f"{node.name} is a node of role {node.role}, which this deploy does not "
            "change"
        )
    return node


def connect_to_itself(state: State) -> None:
    """Have the run's only host be this machine."""
    for host in state.inventory:
        connect_as_own(state, host)
