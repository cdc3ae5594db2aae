"""Whether HAProxy can listen on its ports, looked at before it tries.

A reload that cannot bind one tries for seconds, and all clients are refused meanwhile.
"""

from pyinfra import host, state

from portway.errors import PortwayError, Problem
from portway.load_balancers.configuration import Configuration, binds, parse
from portway.load_balancers.console import Console
from portway.model.cluster import STATS_FRONTEND, Cluster, LoadBalancer
from portway.ops.differences import FoundNode, service_steps
from portway.ops.operations import read_node
from portway.ops.ports import TakenPorts
from portway.ops.pyinfra_errors import Commands, failure, operation
from portway.render.files import WantedNode
from portway.render.load_balancer import HAPROXY


def taken_ports(cluster: Cluster, lb: LoadBalancer, found: FoundNode) -> list[Problem]:
    """Ports that HAProxy does not listen on yet, and could not.

    Those of clients are taken only until they are reserved, which this run does.
    """
    again = "run again when it has ended, or give the client another port"
    places = {f.port: (f.name, "", again) for f in cluster.frontends}
    new = places.keys() - found.listening
    if (stats := cluster.stack.ports.stats) not in found.listening or (
        stats in found.listeners  # on another address, perhaps
    ):
        again = "stop it, or update the stack with another StatsPort"
        places[stats] = STATS_FRONTEND, lb.node.address, again
        new.add(stats)
    if not new:
        return []
    taken = host.get_fact(
        TakenPorts, binds=[(places[port][1], port) for port in sorted(new)]
    )
    return [
        Problem(
            lb.name,
            places[port][0],
            f"port {port} is taken by {by} on this node; {places[port][2]}",
        )
        for port, by in taken.items()
    ]


@operation
def verify_ports(cluster: Cluster, wanted: WantedNode) -> Commands:
    """Fail before HAProxy is touched if it could not listen on a port by now.

    It was looked at before the run began, and much may have been done since.
    """
    found = read_node(wanted.survey)
    if not state.is_executing or not service_steps(
        HAPROXY, wanted.file(HAPROXY.config), found
    ):
        return
    if taken := taken_ports(cluster, cluster.load_balancer(host.name), found):
        yield failure("HAProxy is not changed", map(str, taken))


def refuse_taken_ports(
    console: Console, loaded: str | None, wanted: Configuration
) -> None:
    """Raise PortwayError if HAProxy could not listen on a port of a configuration.

    While it tries again and again, it refuses new connections on all ports.
    """
    known = binds(parse(loaded)) if loaded else frozenset()
    fact = TakenPorts()
    new = sorted(binds(wanted) - known)
    taken = fact.process(console.shell(fact.command(new), "")) if new else {}
    if taken:
        said = "; ".join(f"port {port} is taken by {by}" for port, by in taken.items())
        raise PortwayError(
            f"{HAPROXY.unit} was not reloaded: {said}",
            why="all clients would be refused while it tried to listen there",
            do="run again when it has ended, or give the client another port",
        )
