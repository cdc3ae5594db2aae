"""What makes two load balancers and their address no pair that could be deployed to.

Pure.
"""

from collections.abc import Iterable, Iterator

from portway.errors import Problem
from portway.node.address.places import AddressKind
from portway.stack import Node, Role, Stack


def pair_problems(stack: Stack) -> Iterator[Problem]:
    """Everything that is wrong with them, each with the fix."""
    pair = stack.with_role(Role.LOAD_BALANCER)
    if len(pair) != 2:
        names = ", ".join(node.name for node in pair) or "none"
        text = f"needs two running load balancers, but has {len(pair)} ({names})"
        yield Problem(stack.name, "", text)
    if sum(node.preferred_master for node in pair) > 1:
        text = "both load balancers are tagged portway:master; remove one of the tags"
        yield Problem(stack.name, "", text)
    virtual = stack.virtual_address
    own = {node.interface_id for node in pair}
    for holder in sorted({p.holder for p in virtual.places if p.holder} - own):
        text = (
            f"leads to {holder}, which is not the interface of a running load balancer "
            "of this stack; take it from there first"
        )
        yield Problem(stack.name, f"address {virtual.address}", text)
    if virtual.kind is AddressKind.PRIVATE:
        yield from _subnet_problems(stack, pair)
    if virtual.kind is AddressKind.ROUTE:
        yield from _check_problems(stack, pair)


def _check_problems(stack: Stack, pair: Iterable[Node]) -> Iterator[Problem]:
    """A route leads nowhere at a node that takes packets to its own addresses only."""
    for node in pair:
        if node.source_dest_check:
            text = (
                "has its source/destination check on, so AWS drops what a route leads "
                "to it; turn it off (aws ec2 modify-instance-attribute "
                f"--no-source-dest-check --instance-id {node.instance_id})"
            )
            yield Problem(stack.name, node.name, text)


def _subnet_problems(stack: Stack, pair: Iterable[Node]) -> Iterator[Problem]:
    """A private address is of one subnet and cannot leave it."""
    (subnet,) = (place.id for place in stack.virtual_address.places)
    for node in pair:
        if node.subnet_id != subnet:
            text = (
                f"stands in {node.subnet_id}, but the address "
                f"{stack.virtual_address.address} cannot leave {subnet}; update the "
                "stack with LoadBalancerSubnets=one, or with another AddressKind"
            )
            yield Problem(stack.name, node.name, text)
