"""What a look at a system finds of its load balancers beside what a run would change.

It asks what a run asks when it is over, by the same functions, once.
"""

from collections import defaultdict

from pyinfra import host

from portway.aws.reading import address_reader
from portway.load_balancers.asking import Statuses, ask_pair, ask_reachable
from portway.load_balancers.verify import (
    client_nodes,
    dead_units,
    holder_problems,
    keeper_problems,
    node_problems,
    older_streams,
    unserved,
    unserved_clients,
    waiting,
    without_nodes,
    without_peer,
)
from portway.load_balancers.workers import WorkersFacts, reload_problem
from portway.model.cluster import Cluster
from portway.ops.findings import is_state, is_unknown, see
from portway.ops.operations import read_node
from portway.ops.remote import ask
from portway.render.load_balancer import (
    HAPROXY,
    KEEPALIVED,
    load_balancer_survey,
)


def look_at_pair(cluster: Cluster) -> None:
    """Keep what is wrong with the pair, and what is in force on purpose.

    What HAProxy does not serve because a run would change it is that difference, and is
    told as such alone.
    """
    statuses = ask_pair(cluster)
    for name in (name for name, status in statuses.items() if status is None):
        is_unknown(name, "cannot be asked how it serves")
    _see_address(cluster, statuses)
    _see_servers(statuses)
    for name, status in statuses.items():
        if status is None:
            continue
        others = [s for n, s in statuses.items() if n != name]
        for text in node_problems(cluster, status, next(iter(others), None)):
            see(name, "service", "haproxy", text)
        if status.handed_over:
            is_state(name, "has handed the address over on purpose")
    for name, text in keeper_problems(statuses).items():
        see(name, "service", "portway-streams", text)
    for text in older_streams(statuses):
        is_state("", text)
    for text in waiting(cluster, statuses):
        is_state("", text)


RENEWING = {
    HAPROXY.unit: "systemctl reload haproxy there",
    KEEPALIVED.unit: "hand the address over with deploys/transfer.py, then run lb.py",
}
"""How a process comes to run the program that its package has now."""


def look_at_node() -> None:
    """Keep what runs an older program, and why HAProxy could not be reloaded."""
    for unit, service in read_node(load_balancer_survey()).services.items():
        if service.program_replaced:
            how = RENEWING.get(unit, f"systemctl restart {unit} there")
            what = f"runs an older program than its package has: {how}"
            see(host.name, "service", unit, what)
    if problem := reload_problem(ask(host, WorkersFacts)):
        see(host.name, "older workers", "", problem)


def _see_address(cluster: Cluster, statuses: Statuses) -> None:
    address = cluster.stack.virtual_address.address
    objects = address_reader(cluster.stack)()
    for name, unit, text in dead_units(statuses):
        see(name, "service", unit, text)
    for text in holder_problems(cluster, statuses, objects):
        see("", "address", address, text)
    for text in unserved(cluster, statuses):
        see("", "backend", "", text)
    known = {name for s in statuses.values() if s for name in s.frontends}
    nodes = {
        client: where
        for client, where in client_nodes(cluster, statuses).items()
        if client in known
    }
    for text in unserved_clients(cluster, nodes, ask_reachable(cluster, nodes)):
        see(host.name, "client", "", text)
    for text in (*without_peer(cluster), *without_nodes(cluster)):
        see("", "stack", "", text)


def _see_servers(statuses: Statuses) -> None:
    """Keep the servers that get no connections, once for each load balancer."""
    seen: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for lb, status in statuses.items():
        for server in status.down if status else ():
            seen[lb, server.name, server.why or "not checked yet"].add(server.backend)
    for (lb, name, why), backends in seen.items():
        see(lb, "server", name, f"is down in {', '.join(sorted(backends))}: {why}")
