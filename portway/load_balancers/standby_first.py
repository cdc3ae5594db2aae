"""The standby first, also when a run leaves it out."""

from dataclasses import asdict

from pyinfra import host, inventory, logger, state

from portway.errors import PortwayError
from portway.model.cluster import Cluster, LoadBalancer
from portway.model.stack import Node
from portway.ops.connector import is_own
from portway.ops.differences import FoundNode, is_settled
from portway.ops.facts import NodeFacts
from portway.ops.operations import read_node
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.ops.remote import ask, is_lost, node_of_run
from portway.render.files import WantedNode
from portway.render.load_balancer import (
    HAPROXY,
    KEEPALIVED,
    load_balancer,
    load_balancer_survey,
)


@operation
def verify_order(cluster: Cluster, lb: LoadBalancer, wanted: WantedNode) -> Commands:
    """Fail before the holder of the address is changed ahead of its standby.

    That can only be if the run leaves the standby out, or could not connect to it; it
    may be well, and the operator's way to it not. With ``--limit`` somebody says that
    it is down: one that cannot be asked, or on which HAProxy does not run, protects
    nobody, and the run goes on and says so. So it does if EC2 says that it is stopped.

    A new pair is deployed together: only both show that they hear each other. For
    nodes that deploy to themselves, see ``portway.load_balancers.pulled``.
    """
    active = {member.name for member in inventory.get_active_hosts()}
    peer = lb.peer
    if not state.is_executing or is_own(host) or (peer and peer.name in active):
        return
    found = read_node(load_balancer_survey())
    if _is_missing(peer) and _is_new(cluster, found):
        lost = f"{peer.name} does not answer" if peer else "there is no other"
        yield failure(
            f"{lb.name} is not deployed",
            [
                "nobody holds the address, and keepalived never ran here, and "
                f"{lost}: nobody would know whether they hear each other"
            ],
            do=f"{f'bring {peer.name} up' if peer else 'launch another'}; or, if "
            f"{lb.name} is to serve alone, say so: --limit {lb.name}",
        )
        return
    if peer is None or not lb.holds_address or is_settled(wanted, found):
        return
    standby = peer.name
    if _is_missing(peer):
        yield failure(
            f"{lb.name} is not changed",
            [
                f"it holds the address, and {standby}, its standby, does not answer: "
                "nobody would know whether this configuration works"
            ],
            do=f"bring {standby} back; or, if it is down for certain, say so: "
            f"--limit {lb.name}",
        )
        return
    try:
        behind = _runs_something_else(cluster, standby)
    except PortwayError as error:
        logger.warning(
            f"{lb.name} holds the address and is changed though its standby is not: "
            f"{error.message}"
        )
        return
    if behind:
        yield failure(
            f"{lb.name} is not changed",
            [
                f"it holds the address, and {standby}, its standby, runs with another "
                "configuration: nobody would know whether this one works"
            ],
            do=f"leave --limit out, or change the standby first: --limit {standby}",
        )


def _is_missing(peer: Node | None) -> bool:
    """Whether a run has no peer of a node, and nobody has said that it should not."""
    if peer is None:
        return not state.limit_hosts
    return is_lost(peer.name) and not peer.is_stopped


def _is_new(cluster: Cluster, found: FoundNode) -> bool:
    """Whether nobody holds the address, and keepalived does not run on the node."""
    unit = found.services.get(KEEPALIVED.unit)
    held = any(thing.holder for thing in cluster.stack.virtual_address.objects)
    return not held and not (unit and unit.active)


def _runs_something_else(cluster: Cluster, name: str) -> bool:
    """Whether a standby's HAProxy serves with another configuration than it should.

    Raises PortwayError if it does not serve, or cannot be asked.
    """
    found = ask(node_of_run(name), NodeFacts, **asdict(load_balancer_survey()))
    unit = found.services.get(HAPROXY.unit)
    if unit is None or not unit.active:
        raise PortwayError(f"HAProxy does not run on {name}")
    should = load_balancer(cluster, cluster.load_balancer(name))
    return unit.loaded_sha256 != should.file(HAPROXY.config).sha256
