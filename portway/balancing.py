"""Taking an application node out of service and back, on both load balancers.

It speaks to HAProxy's runtime socket. HAProxy forgets all of this when it is reloaded:
a node that was drained then gets traffic again if it passes its checks. That is what
the next run would do anyway, so nothing is kept to remember it by.
"""

import shlex
import time
from collections.abc import Callable

import gevent
from pyinfra import host, logger
from pyinfra.api.exceptions import PyinfraError

from portway.application_facts import BackendServer, Balancing, BalancingFacts
from portway.cluster import Cluster
from portway.errors import PortwayError
from portway.remote import node_of_run, run
from portway.render import ADMIN_SOCKET
from portway.stack import Node

PATIENCE = 60
"""Seconds for load balancers to find out that a node is healthy."""
AT_ONCE = 50
"""Commands in one line, which must fit HAProxy's buffer of 16 KiB."""


def ask_load_balancers(cluster: Cluster) -> dict[str, Balancing]:
    """What each load balancer does with application nodes, by its name.

    One without HAProxy does nothing with them: the stack may be new. Raises
    PortwayError for one that cannot be asked, since it may well send them clients.
    """
    found = {}
    for lb in cluster.load_balancers:
        try:
            balancing = node_of_run(lb.name).get_fact(BalancingFacts)
        except PortwayError:
            raise
        except PyinfraError as error:
            raise PortwayError(
                f"{lb.name} cannot be asked what it does with application nodes "
                f"({error}); no node is taken out of service without it"
            ) from error
        if balancing.runs and not balancing.answers:
            raise PortwayError(
                f"{lb.name}: HAProxy runs but does not answer on its socket; run "
                "deploys/lb.py first"
            )
        found[lb.name] = balancing
    return found


def is_drained(found: dict[str, Balancing], node: Node) -> bool:
    """Whether any load balancer was told to send a node no clients."""
    return any(place.is_drained for place in _places(found, node))


def serves(found: dict[str, Balancing], node: Node) -> bool:
    """Whether any load balancer sends a node clients now."""
    return any(place.serves or place.sessions for place in _places(found, node))


def drain(cluster: Cluster, node: Node) -> None:
    """Take a node out of service on both load balancers, and let its streams end.

    Those that have not ended within ``drain_timeout`` are closed. Where messages must
    stay in order they are closed at once: two nodes are never active together.
    """
    found = ask_load_balancers(cluster)
    _warn_if_alone(found, node)
    ordered = {backend.name for backend in cluster.backends if backend.ordered}
    for lb, balancing in found.items():
        places = balancing.of(node.address)
        _tell(lb, [f"set server {place.path} state drain" for place in places])
        _close(lb, [p for p in places if p.backend in ordered and p.sessions])

    def ended() -> bool:
        return not any(p.sessions for p in _places(ask_load_balancers(cluster), node))

    if _wait_until(ended, cluster.settings.drain_timeout):
        return
    for lb, balancing in ask_load_balancers(cluster).items():
        _close(lb, [place for place in balancing.of(node.address) if place.sessions])


def put_back(cluster: Cluster, node: Node) -> None:
    """Put a healthy node back into service, and wait until both load balancers use it.

    Raises PortwayError if one of them does not.
    """

    def places() -> list[BackendServer]:
        return _places(ask_load_balancers(cluster), node)

    _wait_until(lambda: all(place.is_up for place in places()), PATIENCE)
    for lb, balancing in ask_load_balancers(cluster).items():
        drained = [p for p in balancing.of(node.address) if p.is_drained]
        _tell(lb, [f"set server {place.path} state ready" for place in drained])
        _close(lb, _relieved_standbys(cluster, balancing, drained))
    if not _wait_until(lambda: all(place.serves for place in places()), PATIENCE):
        raise PortwayError(
            f"{node.name} is healthy, but its load balancers do not find it so; check "
            "that the application nodes' security group admits both of them"
        )


def _places(found: dict[str, Balancing], node: Node) -> list[BackendServer]:
    return [
        place for balancing in found.values() for place in balancing.of(node.address)
    ]


def _warn_if_alone(found: dict[str, Balancing], node: Node) -> None:
    """Say so if clients will find no one while a node is changed."""
    for lb, balancing in found.items():
        used = {place.backend for place in balancing.of(node.address) if place.serves}
        others = {
            server.backend
            for server in balancing.servers
            if server.address != node.address and server.serves
        }
        if alone := sorted(used - others):
            logger.warning(
                f"{host.print_prefix}no other node of {lb} serves {', '.join(alone)}: "
                "its clients are refused until this one is back"
            )


def _relieved_standbys(
    cluster: Cluster, balancing: Balancing, returning: list[BackendServer]
) -> list[BackendServer]:
    """The standbys whose active node is among those that return.

    HAProxy relieves them by itself when that node failed and is back, but not when it
    was drained.
    """
    back = {(place.backend, place.address) for place in returning}
    relieved = {
        backend.name
        for backend in cluster.backends
        if backend.ordered and (backend.name, backend.servers[0].address) in back
    }
    return [
        server
        for server in balancing.servers
        if server.backend in relieved and (server.backend, server.address) not in back
    ]


def _close(lb: str, places: list[BackendServer]) -> None:
    if streams := sum(place.sessions for place in places):
        logger.info(f"{host.print_prefix}{lb} closes {streams} streams")
    _tell(lb, [f"shutdown sessions server {place.path}" for place in places])


def _tell(lb: str, commands: list[str]) -> None:
    """Give HAProxy commands that answer nothing when all is well."""
    for start in range(0, len(commands), AT_ONCE):
        line = shlex.quote("; ".join(commands[start : start + AT_ONCE]))
        script = f"echo {line} | timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET}"
        if said := [line for line in run(node_of_run(lb), script) if line.strip()]:
            raise PortwayError(f"{lb}: HAProxy refused a command: {said[0]}")


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look once a second until a condition holds; whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        gevent.sleep(1)
    return True
