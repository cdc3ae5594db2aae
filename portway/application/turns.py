"""In which order application nodes change, and what a run says beforehand. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from portway.application.draining import serves
from portway.application.pending import Pending
from portway.errors import GROUP_DATA, PortwayError
from portway.load_balancers.haproxy import Balancing
from portway.model.cluster import Cluster
from portway.model.stack import Node, Role

Turns = tuple[tuple[str, ...], ...]
"""The names of the nodes to change together, one group after the other."""


def turns(
    cluster: Cluster, found: dict[str, Balancing], lost: Collection[str] = ()
) -> Turns:
    """The order in which nodes change.

    Nodes that serve no one come first and all at once: those of a new stack, new ones,
    broken ones. If nobody serves though the load balancers know the nodes, something
    else is broken, such as the database: then the first goes alone, and the others only
    if it becomes healthy; it is not one that is ``lost`` to this run. Those that serve
    follow ``app_batch`` at a time, those launched first first; fewer at a time if
    nobody would be left.

    Raises PortwayError if a batch would leave nobody although every node serves.
    """
    nodes = cluster.stack.with_role(Role.APPLICATION)
    serving = [node.name for node in nodes if serves(found, node)]
    idle = [node.name for node in nodes if node.name not in serving]
    known = [
        n.name
        for n in nodes
        if n.name in idle and n.name not in lost and _is_known(found, n)
    ]
    size = cluster.settings.app_batch
    if len(serving) > 1 and size >= len(nodes):
        raise PortwayError(
            f"{GROUP_DATA}: app_batch {size} would take every application node out of "
            f"service at once ({', '.join(node.name for node in nodes)})",
            do=f"set it to {len(nodes) - 1} or less; for one run with --data "
            f"app_batch={len(nodes) - 1}",
        )
    size = min(size, max(1, len(serving) - 1))
    first = known[:1] if not serving else []
    rest = [name for name in idle if name not in first]
    return _groups(first, rest, *in_batches(serving, size))


def in_batches(names: list[str], size: int) -> Turns:
    """Names, so many at a time."""
    return tuple(tuple(names[i : i + size]) for i in range(0, len(names), size))


def _groups(*groups: list[str] | tuple[str, ...]) -> Turns:
    return tuple(tuple(group) for group in groups if group)


def _is_known(found: dict[str, Balancing], node: Node) -> bool:
    """Whether any load balancer has the node among its servers."""
    return any(balancing.of(node.address) for balancing in found.values())


def what_happens(todo: Pending, *, runs: bool) -> str:
    """What happens to the streams on a node; nothing if its process stays as it is."""
    if todo.restart:
        return "drained and restarted" if runs else "started"
    return "reloaded, without a drain" if todo.reload else ""


def announcements(told: Mapping[str, list[tuple[str, str]]]) -> Iterator[str]:
    """What a run says beforehand: what happens to each node, if anything, and why."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, happenings in sorted(told.items()):
        for what, why in happenings:
            if what:
                groups[what, why].append(name)
    for (what, why), names in groups.items():
        yield (
            f"{len(names)} of {len(told)} application nodes will be {what} "
            f"({', '.join(names)}): {why}"
        )
