"""Takes an application node out of service and puts it back, on both load balancers.

A drain outlasts a reload of HAProxy, which hands the state of servers over, but not a
restart. Nothing else is kept to remember it by.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gevent
from pyinfra import host, logger

from portway.application.own_service import let_everybody_in
from portway.errors import PortwayError
from portway.load_balancers.haproxy import (
    BackendServer,
    Balancing,
    ask_load_balancers,
    close_streams,
    drain_servers,
    ready_servers,
    stop_servers,
)
from portway.load_balancers.reasons import advice
from portway.model.cluster import Cluster
from portway.model.stack import Node, Role
from portway.ops.remote import is_lost

PATIENCE = 60
"""Seconds for load balancers to find out that a node is healthy."""
ORDERED_PATIENCE = 3
"""Seconds for load balancers to close the streams of ``ordered`` clients."""
UNDO_SECONDS = 15
"""What undoing a drain may take on one load balancer: the other has its turn, too."""
TELL_EVERY = 5.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True, slots=True)
class OnLoadBalancers:
    """Takes a node out of service on the load balancers, and puts it back."""

    cluster: Cluster
    node: Node
    is_out: bool
    """Whether it took itself out, and did not come back."""

    def drain(self) -> None:
        """Take it out of service, and let its streams end."""
        drain(self.cluster, self.node)

    def begin(self) -> None:
        """Nothing: the run has its lease on every node."""

    def note_failure(self) -> None:
        """Nothing: the run stops, and somebody sees why."""

    def put_back(self) -> None:
        """Put it back, and wait until both use it."""
        if self.is_out:
            let_everybody_in()
        put_back(self.cluster, self.node)


def is_drained(found: dict[str, Balancing], node: Node) -> bool:
    """Whether any load balancer has the node drained or in maintenance."""
    return any(server.is_drained for server in _servers(found, node))


def serves(found: dict[str, Balancing], node: Node) -> bool:
    """Whether any load balancer sends clients to a node, or still has streams to it."""
    return any(s.serves for s in _servers(found, node)) or bool(_streams(found, node))


def drain(cluster: Cluster, node: Node) -> None:
    """Take a node out of service on both load balancers, and let its streams end.

    The streams of every worker count. Those that have not ended within
    ``drain_timeout`` are closed. Where messages must stay in order, another node may
    serve only when they have ended: see ``_end_ordered``.
    """
    found = ask_load_balancers(cluster)
    _refuse_if_last(cluster, found, node)
    _warn_if_alone(found, node)
    try:
        _drain(cluster, node, found)
    except PortwayError:
        _undo(found, node)
        raise


def _drain(cluster: Cluster, node: Node, found: dict[str, Balancing]) -> None:
    for lb, balancing in found.items():
        drain_servers(lb, balancing.of(node.address))
    _end_ordered(cluster, node)

    started = time.monotonic()
    reported = started - TELL_EVERY

    def ended() -> bool:
        nonlocal reported
        left, now = _streams(ask_load_balancers(cluster), node), time.monotonic()
        if left and now - reported >= TELL_EVERY:
            reported = now
            logger.info(
                f"{host.print_prefix}{node.name}: draining, {left} streams left, "
                f"{now - started:.0f} s of {cluster.settings.drain_timeout}"
            )
        return not left

    if _wait_until(ended, cluster.settings.drain_timeout):
        return
    for lb, balancing in ask_load_balancers(cluster).items():
        close_streams(lb, balancing.with_streams(node.address))


def _end_ordered(cluster: Cluster, node: Node) -> None:
    """Let the streams of ``ordered`` clients end, all within a few seconds.

    The load balancer closes them between two messages (``portway.node.streams``), or
    they are closed here: it may be of a release that does not, or its program is dead.
    """
    ordered = {backend.name for backend in cluster.backends if backend.ordered}
    if not ordered:
        return

    def ended() -> bool:
        return not any(
            server.backend in ordered
            for balancing in ask_load_balancers(cluster).values()
            for server in balancing.with_streams(node.address)
        )

    def closed() -> bool:
        left: list[BackendServer] = []
        for lb, balancing in ask_load_balancers(cluster).items():
            # Drained is not enough: HAProxy still sends there what it remembers it for.
            places = balancing.of(node.address)
            stop_servers(lb, [s for s in places if s.backend in ordered])
            active = balancing.with_streams(node.address)
            close_streams(lb, [s for s in active if s.backend in ordered])
            left += [s for s in active if s.backend in ordered]
        return not left  # one that was being connected may have become a stream

    _wait_until(ended, ORDERED_PATIENCE)
    _wait_until(closed, ORDERED_PATIENCE)


def _undo(found: dict[str, Balancing], node: Node) -> None:
    """Put a node that was drained half-way back on the load balancers that answer."""
    for lb, balancing in found.items():
        served = [s for s in balancing.of(node.address) if not s.is_drained]
        late = PortwayError(f"{lb} does not answer")
        try:
            with gevent.Timeout(UNDO_SECONDS, late):
                ready_servers(lb, served)
        except PortwayError as error:
            logger.warning(
                f"{host.print_prefix}{node.name} may still be drained on {lb}, until "
                f"the next run: {error.message}"
            )


def put_back(cluster: Cluster, node: Node) -> None:
    """Put a healthy node back into service, and wait until both load balancers use it.

    Raises PortwayError if one of them does not.
    """

    def servers() -> list[BackendServer]:
        return _servers(ask_load_balancers(cluster), node)

    for lb, balancing in ask_load_balancers(cluster).items():
        # HAProxy checks drained servers, but none in maintenance.
        drain_servers(lb, [s for s in balancing.of(node.address) if s.is_drained])
    _wait_until(lambda: all(server.is_up for server in servers()), PATIENCE)
    for lb, balancing in ask_load_balancers(cluster).items():
        drained = [s for s in balancing.of(node.address) if s.is_drained]
        ready_servers(lb, drained)
    if not _wait_until(lambda: all(server.serves for server in servers()), PATIENCE):
        found = ask_load_balancers(cluster)
        raise PortwayError(
            f"{node.name} is healthy, but its load balancers see it as down",
            why="\n  ".join(_reasons(found, node)),
            do="\n".join(
                sorted({advice(s.reason) for s in _servers(found, node)} - {""})
            )
            or "run again",
        )


def _reasons(found: dict[str, Balancing], node: Node) -> Iterator[str]:
    """What each load balancer says of a node that it does not use."""
    for lb, balancing in found.items():
        servers = [s for s in balancing.of(node.address) if not s.serves]
        checked = sorted({server.reason for server in servers} - {""})
        if any(server.is_drained for server in servers):
            checked.append("taken out of service")
        if servers:
            yield f"{lb} sees {', '.join(checked) or 'no check that passed yet'}"


def _servers(found: dict[str, Balancing], node: Node) -> list[BackendServer]:
    return [
        server for balancing in found.values() for server in balancing.of(node.address)
    ]


def _streams(found: dict[str, Balancing], node: Node) -> int:
    """How many streams a node has, through every worker of every load balancer."""
    return sum(
        server.sessions
        for balancing in found.values()
        for server in balancing.with_streams(node.address)
    )


def _refuse_if_last(cluster: Cluster, found: dict[str, Balancing], node: Node) -> None:
    """Leave the only node alone that serves while another one does not answer.

    The other one, if it could be reached, would go first, and show whether what the
    node shall run works.
    """
    nodes = cluster.stack.with_role(Role.APPLICATION)
    lost = [other.name for other in nodes if is_lost(other.name)]
    servers = [server for balancing in found.values() for server in balancing.servers]
    serving = {server.address for server in servers if server.serves}
    if lost and serving == {node.address}:
        raise PortwayError(
            f"{node.name} is the only application node that serves, and "
            f"{', '.join(lost)} cannot be asked",
            why="nobody would serve while it is changed, or longer if it fails",
            do=f"bring {', '.join(lost)} back, or insist: --limit {node.name}",
        )


def _warn_if_alone(found: dict[str, Balancing], node: Node) -> None:
    """Warn if clients will find no node while this one is changed."""
    for lb, balancing in found.items():
        used = {s.backend for s in balancing.of(node.address) if s.serves}
        others = {
            server.backend
            for server in balancing.servers
            if server.address != node.address and server.serves
        }
        if alone := sorted(used - others):
            logger.warning(
                f"{host.print_prefix}no other node behind {lb} serves "
                f"{', '.join(alone)}: their clients are refused until this one is back"
            )


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look once a second until a condition holds; whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        gevent.sleep(1)
    return True
