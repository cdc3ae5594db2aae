"""What is done to the application nodes, in the words of the job."""

from pyinfra import host

from portway.application.draining import is_drained, serves
from portway.application.facts import ReleaseFacts
from portway.application.inputs import read_inputs
from portway.application.pending import Pending, pending
from portway.application.rolling import change_node
from portway.contract.paths import INSTALLER
from portway.contract.release_requests import to_json
from portway.load_balancers.haproxy import Balancing, ask_load_balancers
from portway.model.cluster import Cluster
from portway.model.releases import FoundReleases, is_fetched
from portway.model.stack import Node, Role
from portway.ops.fence import change
from portway.ops.operations import read_node, show_difference
from portway.ops.pyinfra_errors import Commands, for_pyinfra, operation, reported
from portway.ops.reading import (
    forget_host,
    once_per_host,
    once_per_run,
    once_per_stage,
)
from portway.ops.remote import ask
from portway.render.application import Application, application, fetch_request


@for_pyinfra
def application_node(cluster: Cluster) -> Node | None:
    """The current host as an application node; None if it is something else."""
    nodes = {node.name: node for node in cluster.stack.with_role(Role.APPLICATION)}
    return nodes.get(host.name)


@for_pyinfra
def wanted_application(cluster: Cluster, node: Node) -> Application:
    """What a node should have.

    Refused before anything is touched if settings, secrets or Artifactory do not allow
    it.
    """
    key = "inputs", cluster.settings
    inputs = once_per_run(key, lambda: read_inputs(cluster))
    return application(cluster, node, inputs)


@for_pyinfra
def batches(cluster: Cluster) -> tuple[tuple[str, ...], ...]:
    """The names of the nodes to change together, in the order of their turns.

    Nodes that serve no one come first and all at once: those of a new stack, new ones,
    broken ones. The others follow ``app_batch`` at a time, those launched first first.
    """
    nodes = cluster.stack.with_role(Role.APPLICATION)
    found = _ask_load_balancers(cluster)
    idle = tuple(node.name for node in nodes if not serves(found, node))
    serving = [node.name for node in nodes if node.name not in idle]
    size = cluster.settings.app_batch
    turns = [tuple(serving[i : i + size]) for i in range(0, len(serving), size)]
    return tuple(turn for turn in (idle, *turns) if turn)


@operation
def fetch_release(wanted: Application) -> Commands:
    """Have the node download, verify and unpack the release beside the others.

    Another archive of the running version would change the files under the process; it
    is fetched when the node is out of service.
    """
    found = _read_releases(wanted)
    if is_fetched(wanted.release, found) or found.current == wanted.release.version:
        host.noop(f"the node has release {wanted.release.version}")
        return
    yield from change(str(INSTALLER), to_json(fetch_request(wanted)))


@operation
def change_application(cluster: Cluster, wanted: Application) -> Commands:
    """Make the node run what it should, out of service while it restarts."""
    todo = _pending(cluster, wanted)
    if not todo:
        host.noop(f"{wanted.unit} is up to date")
        return
    for file in todo.files:
        show_difference(file)
    yield reported(lambda: change_node(host, cluster, wanted, todo))
    forget_host()


def _pending(cluster: Cluster, wanted: Application) -> Pending:
    return pending(
        wanted,
        read_node(wanted.node.survey),
        _read_releases(wanted),
        keep=cluster.settings.keep_releases,
        drained=is_drained(_ask_load_balancers(cluster), wanted.instance),
    )


def _read_releases(wanted: Application) -> FoundReleases:
    return once_per_host(
        "releases", lambda: ask(host, ReleaseFacts, folder=wanted.folder)
    )


def _ask_load_balancers(cluster: Cluster) -> dict[str, Balancing]:
    return once_per_stage("load balancers", lambda: ask_load_balancers(cluster))
