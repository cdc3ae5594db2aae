"""Asks load balancers how they are doing, once or until nothing is wrong."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict

import gevent
from pyinfra import host, inventory, logger, state

from portway.errors import PortwayError
from portway.load_balancers.status import LoadBalancerFacts, LoadBalancerStatus
from portway.model.cluster import Cluster
from portway.model.stack import Stack
from portway.ops.connector import is_own
from portway.ops.differences import FoundNode
from portway.ops.facts import NodeFacts
from portway.ops.holding import changes_of
from portway.ops.ports import UnreachablePorts
from portway.ops.pyinfra_errors import for_pyinfra
from portway.ops.reading import (
    Key,
    keep_of_host,
    kept_of,
    once_per_host,
    once_per_run,
    readings,
)
from portway.ops.remote import NotReached, ask, ask_together, is_silent, node_of_run
from portway.render.load_balancer import load_balancer_survey

GRANT_PAUSE = 5
"""Seconds between two looks at whether rights are in force."""
GRANT_LOOKS = 20

FRESH = 10.0
"""Seconds for which a status counts in a run that has changed nothing."""
_STATUS = "status"

Statuses = dict[str, LoadBalancerStatus | None]
"""By node name; None for one that cannot be reached."""


def read_load_balancer(cluster: Cluster) -> FoundNode:
    """What the current load balancer has; how it is doing is asked with that."""
    survey = load_balancer_survey()
    address = cluster.stack.virtual_address.address

    def read() -> FoundNode:
        found: FoundNode
        found, status = ask_together(
            host,
            (
                (NodeFacts, asdict(survey)),
                (LoadBalancerFacts, {"vrrp_address": address}),
            ),
        )
        keep_of_host(_STATUS, (time.monotonic(), status))
        readings().once(_first(host.name), lambda: status)
        return found

    return once_per_host(survey, read)


def _first(name: str) -> Key:
    return None, ("status at first", name)


def status_at_first(name: str) -> LoadBalancerStatus | None:
    """How a load balancer was doing before this run changed it, if it was asked."""
    found: LoadBalancerStatus | None = readings().get(_first(name))
    return found


def known_statuses(cluster: Cluster) -> Statuses | None:
    """What was asked at the beginning, if this run has changed nothing since."""
    if any(changes_of(state, node) for node in inventory):
        return None
    found: Statuses = {}
    for lb in cluster.load_balancers:
        when, status = kept_of(lb.name, _STATUS) or (float("-inf"), None)
        if time.monotonic() - when > FRESH:
            return None
        found[lb.name] = status
    return found


def ask_status(cluster: Cluster, name: str) -> LoadBalancerStatus:
    """The status of a node; PortwayError if it cannot be reached."""
    address = cluster.stack.virtual_address.address
    return ask(node_of_run(name), LoadBalancerFacts, vrrp_address=address)


def ask_if_possible(cluster: Cluster, name: str) -> LoadBalancerStatus | None:
    """The status of a node; None, and one warning in a run, if it cannot be reached.

    One that was silent before is not tried again: that takes its time at every look.
    """
    if is_own(host) and name != host.name:
        return None  # nodes that deploy to themselves ask no other
    try:
        if is_silent(name):
            raise NotReached(f"{name}: it could not be connected to")
        return ask_status(cluster, name)
    except PortwayError as error:
        text = f"{host.print_prefix}cannot ask {error.message}"
        once_per_run(("unreachable", name), lambda: logger.warning(text))
        return None


def ask_pair(cluster: Cluster) -> Statuses:
    """The status of each load balancer."""
    return {lb.name: ask_if_possible(cluster, lb.name) for lb in cluster.load_balancers}


def ask_reachable(
    cluster: Cluster, questions: Mapping[str, tuple[int, Collection[str]]]
) -> dict[str, str]:
    """Why the current host reaches no node that serves a client, by client.

    ``questions`` has each client's port on the nodes, and their addresses. The nodes
    accept at most one connection for each.
    """
    lines = (
        f"{client} {port} {' '.join(addresses)}\n"
        for client, (port, addresses) in questions.items()
    )
    timeout = cluster.settings.connect_timeout
    return ask(host, UnreachablePorts, timeout=timeout, _stdin="".join(lines))


def wait_until_none(
    cluster: Cluster, look: Callable[[], tuple[str, ...]]
) -> tuple[str, ...]:
    """Look once a second until there is no problem left or ``verify_timeout`` is over.

    Returns the problems that are left.
    """
    found: tuple[str, ...] = ("the node does not answer in time",)
    with gevent.Timeout(cluster.settings.verify_timeout, False):
        while found := look():
            logger.debug("waiting: %s", "; ".join(found))
            gevent.sleep(1)
        return ()
    return found


def wait_for_rights(stack: Stack, look: Callable[[], list[str]]) -> list[str]:
    """What EC2 refuses a node, once rights that it got just now must be in force."""
    for _ in range(GRANT_LOOKS):
        if not (refused := look()) or not stack.may_still_grant():
            return refused
        logger.info(
            f"waiting for rights that may have been granted just now: {refused}"
        )
        gevent.sleep(GRANT_PAUSE)
    return look()


@for_pyinfra
def is_last(cluster: Cluster, name: str) -> bool:
    """Whether no other load balancer of this run comes after this one."""
    active = {member.name for member in inventory.get_active_hosts()}
    ours = [lb.name for lb in cluster.load_balancers if lb.name in active]
    return ours[-1] == name
