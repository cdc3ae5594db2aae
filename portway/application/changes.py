"""The order of a client's change: what a node must serve meanwhile, and what cannot be.

Decided from what the nodes have: the load balancers' configuration, and the ports that
the running application has loaded.
"""

from collections.abc import Iterator
from functools import partial

from pyinfra import host, logger, state

from portway.application.facts import ApplicationFacts
from portway.application.pending import Loaded
from portway.application.pulled import own_routes
from portway.contract.paths import HAPROXY_CONFIG
from portway.errors import PortwayError, Problem, refuse_if_any
from portway.load_balancers.asking import ask_reachable
from portway.load_balancers.loading import running_haproxy
from portway.load_balancers.routes import (
    FoundRoutes,
    RoutesFacts,
    ask_routes,
    routes_of,
)
from portway.model.cluster import Cluster
from portway.model.listeners import (
    Listener,
    Route,
    impossible,
    listeners,
    meanwhile,
    only_used,
    routes,
)
from portway.model.stack import Node, Role
from portway.ops.connector import is_own
from portway.ops.differences import file_differs
from portway.ops.operations import read_node
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.ops.reading import once_per_stage
from portway.ops.remote import ask, node_of_stack
from portway.render.files import WantedNode

SITE = "run deploys/site.py, which changes both in the right order"


def used_routes(
    found: dict[str, FoundRoutes], node: Node, served: tuple[Listener, ...]
) -> list[Route]:
    """Where load balancers send clients on one node.

    While nothing says what one of them has loaded, everything served counts as used.
    """
    used = [
        route
        for balancing in found.values()
        for route in balancing.routes
        if route.address == node.address
    ]
    if not all(balancing.is_in_force for balancing in found.values()):
        used += [Route(0, node.address, listener) for listener in served]
    return used


def to_serve(
    cluster: Cluster, node: Node, loaded: Loaded | None, *, with_load_balancers: bool
) -> tuple[Listener, ...]:
    """The ports that a node should serve until the load balancers have switched.

    ``with_load_balancers`` says whether this run changes them, too. Raises PortwayError
    for a change that would leave clients without service.
    """
    served = (loaded.listeners if loaded else None) or ()
    wanted = listeners(cluster, node)

    def ask_for_routes() -> dict[str, FoundRoutes]:
        if not is_own(host):
            return ask_routes(cluster)
        return own_routes(cluster) if set(served) - set(wanted) else {}

    found = once_per_stage("routes", ask_for_routes)
    used = used_routes(found, node, served)
    ours = [route for route in routes(cluster) if route.address == node.address]
    problems = [
        Problem("clients", client, text)
        for client, text in impossible(ours, used, served)
    ]
    if not with_load_balancers:
        # What one that is left out may use stays open; that refuses nothing.
        asked = {name: r for name, r in found.items() if not r.is_left_out}
        used_now = used_routes(asked, node, served)
        problems += [
            Problem(
                node.name,
                listener.client,
                f"the load balancers still send clients to port {listener.port} "
                f"({listener.title}), which app.py alone would close; {SITE}",
            )
            for listener in only_used(wanted, [route.listener for route in used_now])
        ]
    refuse_if_any(problems)
    return meanwhile(wanted, [route.listener for route in used])


def still_used(
    cluster: Cluster, node: Node, served: tuple[Listener, ...]
) -> tuple[Listener, ...]:
    """The ports that load balancers use now, though no client should be sent there."""
    used = used_routes(ask_routes(cluster), node, served)
    return only_used(listeners(cluster, node), [route.listener for route in used])


@operation
def verify_application_ports(cluster: Cluster, wanted: WantedNode) -> Commands:
    """Fail before HAProxy sends clients to ports that the application does not serve.

    Only what is new is looked at, on the nodes that it concerns. One that cannot be
    asked is not judged.
    """
    if not state.is_executing:
        return
    found = read_node(wanted.survey)
    if not file_differs(wanted.file(str(HAPROXY_CONFIG)), found):
        return
    runs = running_haproxy().loaded  # what a change of servers needs to know, too
    used = {
        _way(route)
        for route in (
            ask(host, RoutesFacts).routes if runs is None else routes_of(runs)
        )
    }
    new = [route for route in routes(cluster) if _way(route) not in used]
    find = _unreachable if is_own(host) else _unserved
    if problems := list(find(cluster, new)):
        yield failure(
            "HAProxy is not changed: clients would be sent where nothing answers them",
            problems,
            do=SITE,
        )


def _unreachable(cluster: Cluster, new: list[Route]) -> Iterator[str]:
    """The clients whose port no application node opens to this load balancer.

    For nodes that deploy to themselves, which cannot ask what a port expects.
    """
    asked: dict[str, tuple[int, set[str]]] = {}
    for route in new:
        listener = route.listener
        _, addresses = asked.setdefault(listener.client, (listener.port, set()))
        addresses.add(route.address)
    for client, why in ask_reachable(cluster, asked).items():
        yield f"{client}: port {asked[client][0]} of the application: {why}"


def _way(route: Route) -> tuple[object, ...]:
    return route.address, route.listener.port, route.listener.speech


def _unserved(cluster: Cluster, new: list[Route]) -> Iterator[str]:
    nodes = {n.address: n for n in cluster.stack.with_role(Role.APPLICATION)}
    for address in sorted({route.address for route in new} & nodes.keys()):
        node = nodes[address]
        loaded = once_per_stage(("loaded", node.name), partial(_ask, cluster, node))
        if loaded is None or loaded.listeners is None:
            continue
        serves = {listener.port: listener for listener in loaded.listeners}
        for route in new:
            if route.address != address:
                continue
            wanted, own = route.listener, serves.get(route.listener.port)
            if own is None or own.speech != wanted.speech:
                speaks = f"expects {own.title}" if own else "is not open"
                yield (
                    f"{wanted.client}: port {wanted.port} of the application "
                    f"{speaks} on {node.name}, and would get {wanted.title}"
                )


def _ask(cluster: Cluster, node: Node) -> Loaded | None:
    """What the application on a node has loaded; None if nothing says."""
    try:
        asked = node_of_stack(host, node, "app_nodes")
        return ask(asked, ApplicationFacts, app=cluster.settings.app_name).loaded
    except PortwayError as error:
        logger.warning(
            f"{host.print_prefix}cannot ask {node.name} which ports its application "
            f"serves: {error.message}"
        )
        return None
