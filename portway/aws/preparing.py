"""Makes new nodes of a stack ready in AWS, as far as the template cannot.

It writes the names that nodes are given into a tag, and lets packets of routes reach
load balancers. What AWS refuses is told, and the stack is as it was in that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from portway.aws.client import Aws
from portway.aws.errors import AwsCallError, one_line
from portway.aws.names import SLOT_TAG, name_without_slot
from portway.contract.address import AddressKind
from portway.model.stack import Node, Role, Stack


@dataclass(frozen=True, slots=True)
class Unprepared:
    """One thing that ``prepare`` would change in AWS."""

    node: str
    instance_id: str
    what: str
    """What differs."""


def unprepared(stack: Stack) -> Iterator[Unprepared]:
    """What ``prepare`` would change."""
    for node in stack.nodes:
        if node.new_slot is not None:
            what = f"has no tag {SLOT_TAG} that keeps its name"
            yield Unprepared(node.name, node.instance_id, what)
        if _drops_packets(stack, node):
            what = "has its source/destination check on, so it drops what a route sends"
            yield Unprepared(node.name, node.instance_id, what)


def prepare(aws: Aws, stack: Stack, progress: Callable[[str], None]) -> Stack:
    """Make new nodes ready in AWS."""
    return _let_routed_packets_in(aws, _keep_names(aws, stack, progress), progress)


def as_prepared(stack: Stack) -> Stack:
    """A stack as it is once its nodes were made ready, for a run that changes nothing.

    The names are what AWS would remember in any case.
    """
    nodes = tuple(
        replace(node, source_dest_check=False) if _drops_packets(stack, node) else node
        for node in stack.nodes
    )
    return replace(stack, nodes=nodes)


def _drops_packets(stack: Stack, node: Node) -> bool:
    """Whether AWS would drop what a route sends to a load balancer."""
    is_routed = stack.virtual_address.kind is AddressKind.ROUTE
    return is_routed and node.role is Role.LOAD_BALANCER and node.source_dest_check


def _let_routed_packets_in(
    aws: Aws, stack: Stack, progress: Callable[[str], None]
) -> Stack:
    """Turn the source/destination check of load balancers off that routes point to.

    A scaling group cannot launch an instance without it. Where AWS does not let it be
    turned off, it stays on, and what needs it off refuses the stack.
    """
    nodes = []
    for node in stack.nodes:
        if not _drops_packets(stack, node):
            nodes.append(node)
            continue
        try:
            aws.call(
                "ec2",
                "modify_network_interface_attribute",
                f"stack {stack.name}: the source/destination check of {node.name}",
                NetworkInterfaceId=node.interface_id,
                SourceDestCheck={"Value": False},
            )
        except AwsCallError as error:
            progress(one_line(str(error)))
            nodes.append(node)
        else:
            progress(
                f"stack {stack.name}: turned the source/destination check of "
                f"{node.name} off, for the route that will point to it"
            )
            nodes.append(replace(node, source_dest_check=False))
    return replace(stack, nodes=tuple(nodes))


def _keep_names(aws: Aws, stack: Stack, progress: Callable[[str], None]) -> Stack:
    """Tag new nodes with their slots; name those by their ids that cannot be tagged."""
    nodes = tuple(
        node if node.new_slot is None else _keep_name(aws, stack.name, node, progress)
        for node in stack.nodes
    )
    # Nobody has the others now: a client that names one must not wait for it.
    lost = {node.name for node in stack.nodes} - {node.name for node in nodes}
    names = tuple(name for name in stack.names if name not in lost)
    return replace(stack, nodes=nodes, names=names)


def _keep_name(
    aws: Aws, stack: str, node: Node, progress: Callable[[str], None]
) -> Node:
    tag = {"Key": SLOT_TAG, "Value": str(node.new_slot)}
    try:
        aws.call(
            "ec2",
            "create_tags",
            f"stack {stack}: the name of {node.instance_id}",
            Resources=[node.instance_id],
            Tags=[tag],
        )
    except AwsCallError as error:
        name = name_without_slot(node.name, node.instance_id)
        progress(
            f"stack {stack}: {node.instance_id} would be {node.name} and is called "
            f"{name}, because AWS did not take its tag {SLOT_TAG}: "
            f"{one_line(str(error))}"
        )
        return replace(node, name=name, new_slot=None)
    return replace(node, new_slot=None)
