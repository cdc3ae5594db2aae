"""What is still wrong with a load balancer or a pair, by their statuses. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from portway.contract.address import AddressObject
from portway.errors import first_of
from portway.load_balancers.reasons import advice
from portway.load_balancers.status import LoadBalancerStatus
from portway.model.cluster import STATS_FRONTEND, Cluster

SHOWN = 5
"""How many names an error lists before it only counts."""
LATE = 15.0
"""Seconds after which an address that should have been taken back is a failure."""


def node_problems(
    cluster: Cluster, status: LoadBalancerStatus, peer: LoadBalancerStatus | None
) -> tuple[str, ...]:
    """Why a load balancer does not serve every client that it could; () if it does.

    A backend without a healthy server is not this node's fault if its peer finds none
    either or cannot be asked, or if it should have none; ``unserved`` and
    ``without_nodes`` report them.
    """
    frontends = {frontend.name for frontend in cluster.frontends} | {STATS_FRONTEND}
    backends = {backend.name for backend in cluster.backends if backend.servers}
    found = []
    if not status.frontends:
        return (
            "HAProxy does not answer on its socket; if systemctl status haproxy shows "
            "it running, it hangs or its socket was removed: systemctl restart haproxy",
        )
    if missing := frontends - status.frontends:
        found.append(f"frontends not accepting connections: {first_of(missing)}")
    if extra := status.frontends - frontends:
        found.append(f"frontends of an older configuration: {first_of(extra)}")
    if missing := (backends - status.backends) & (peer.backends if peer else set()):
        seen = _reasons(missing, [status])
        found.append(f"backends without a healthy server: {first_of(missing)}{seen}")
    return tuple(found)


def unserved(
    cluster: Cluster, statuses: Mapping[str, LoadBalancerStatus | None]
) -> tuple[str, ...]:
    """The backends for which no load balancer that could be asked finds a server.

    Those without any server are not among them: see ``without_nodes``.
    """
    served = {b for s in statuses.values() if s is not None for b in s.backends}
    if missing := {b.name for b in cluster.backends if b.servers} - served:
        seen = _reasons(missing, filter(None, statuses.values()))
        return (
            f"no load balancer finds a healthy server for: {first_of(missing)}{seen}",
        )
    return ()


def without_nodes(cluster: Cluster) -> tuple[str, ...]:
    """The clients that nobody serves because none of their nodes is there now."""
    servers = {backend.name: backend.servers for backend in cluster.backends}
    return tuple(
        f"no node for {frontend.name}: its nodes are {', '.join(frontend.absent)}, and "
        "there is none of that name now; launch one, or change its nodes"
        for frontend in cluster.frontends
        if not servers[frontend.backend]
    )


def without_peer(cluster: Cluster) -> tuple[str, ...]:
    """That a load balancer is alone, if it is."""
    return tuple(
        f"{lb.name} is the only load balancer: nothing takes over when it fails, and "
        "changes of keepalived and of the address mover wait for the other one; launch "
        "it, and run this again"
        for lb in cluster.load_balancers
        if lb.peer is None
    )


def older_streams(
    statuses: Mapping[str, LoadBalancerStatus | None],
) -> tuple[str, ...]:
    """What older HAProxy processes still have."""
    known = {name: status for name, status in statuses.items() if status is not None}
    return (
        *(
            f"{name}: {status.older[1]} streams are in {status.older[0]} older HAProxy "
            f"processes, the oldest of which was started {status.older_for} ago"
            for name, status in known.items()
            if status.older[1]
        ),
    )


def keeper_problems(
    statuses: Mapping[str, LoadBalancerStatus | None],
) -> dict[str, str]:
    """What keeps stream keepers from their work, by node.

    Where HAProxy itself does not answer, that is told, and not what follows from it.
    """
    return {
        name: status.keeper_problem
        for name, status in statuses.items()
        if status is not None and status.frontends and status.keeper_problem
    }


def _reasons(backends: Collection[str], statuses: Iterable[LoadBalancerStatus]) -> str:
    """What HAProxy's checks found on the servers of some backends."""
    found = sorted(
        {
            f"{server.name}: {server.why}"
            for status in statuses
            for server in status.down
            if server.backend in backends and server.why
        }
    )
    return f" ({'; '.join(found[:SHOWN])})" if found else ""


def down_servers(
    statuses: Mapping[str, LoadBalancerStatus | None],
) -> tuple[str, ...]:
    """A sentence for each server that is down anywhere, with HAProxy's reason."""
    seen: defaultdict[tuple[str, str], tuple[set[str], set[str]]]
    seen = defaultdict(lambda: (set(), set()))
    for lb, status in statuses.items():
        for server in status.down if status else ():
            lbs, backends = seen[server.name, server.why]
            lbs.add(lb)
            backends.add(server.backend)
    return tuple(
        f"{' and '.join(sorted(lbs))} {'see' if len(lbs) > 1 else 'sees'} {name} as "
        f"down in {first_of(backends)}: "
        + ": ".join(filter(None, (why or "not checked yet", advice(why))))
        for (name, why), (lbs, backends) in sorted(seen.items())
    )


def client_nodes(
    cluster: Cluster, statuses: Mapping[str, LoadBalancerStatus | None]
) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Each client's port on the application nodes, and those that serve it if it works.

    That is those that are up. Health is asked on another port, so a node may be healthy
    and refuse a client.
    """
    down = {
        (server.backend, server.name)
        for status in statuses.values()
        for server in (status.down if status else ())
    }
    backends = {backend.name: backend for backend in cluster.backends}
    found = {}
    for frontend in cluster.frontends:
        backend = backends[frontend.backend]
        up = (s.address for s in backend.servers if (backend.name, s.name) not in down)
        if addresses := tuple(up):
            found[frontend.name] = backend.port or frontend.port, addresses
    return found


def unserved_clients(
    cluster: Cluster,
    nodes: Mapping[str, tuple[int, Collection[str]]],
    reasons: Mapping[str, str],
) -> tuple[str, ...]:
    """The clients that no healthy application node serves, and the reason."""
    names = {s.address: s.name for b in cluster.backends for s in b.servers}
    found = [
        f"nobody serves {client}: port {nodes[client][0]} of "
        f"{', '.join(names[address] for address in nodes[client][1])}: {reason}"
        for client, reason in reasons.items()
    ]
    more = f"nobody serves {len(found) - SHOWN} more clients"
    return (*found[:SHOWN], more) if len(found) > SHOWN else tuple(found)


def pair_problems(
    cluster: Cluster,
    statuses: Mapping[str, LoadBalancerStatus | None],
    objects: Sequence[AddressObject],
) -> tuple[str, ...]:
    """Why not exactly the right node is VRRP master and has the address; () if it is.

    The right one is the master of record, unless it does not serve, has handed the
    address over or waits until it may take it back; then it is the other. ``statuses``
    is by node name; None stands for a node that could not be asked and is not judged.
    ``objects`` say where the address points in AWS.
    """
    dead = tuple(text for _, _, text in dead_units(statuses))
    return dead or holder_problems(cluster, statuses, objects)


def holder_problems(
    cluster: Cluster,
    statuses: Mapping[str, LoadBalancerStatus | None],
    objects: Sequence[AddressObject],
) -> tuple[str, ...]:
    """The same, whatever does not run."""
    if both := _both_handed_over(cluster, statuses):
        return both
    masters = [n for n, s in statuses.items() if s is not None and s.is_vrrp_master]
    if len(masters) > 1:
        return (
            f"both {' and '.join(masters)} are VRRP master: they do not hear each "
            "other; IP protocol 112 must pass between them, and both must have been "
            "deployed from the same settings",
        )
    if not masters and None not in statuses.values():
        if len(statuses) == 1:
            return (f"{next(iter(statuses))} is not VRRP master",)
        return (f"neither {' nor '.join(statuses)} is VRRP master",)
    refused = tuple(
        f"{name} could not take the address: {status.mover_failure}"
        for name, status in statuses.items()
        if status is not None and name not in masters and status.mover_failure
    )
    return (
        _master_problems(cluster, statuses, masters)
        or refused
        or _address_problems(cluster, statuses, masters, objects)
    )


def dead_units(
    statuses: Mapping[str, LoadBalancerStatus | None],
) -> Iterator[tuple[str, str, str]]:
    """The node, the unit and what is to be told of each unit that does not work.

    Nodes that could not be asked are not judged.
    """
    for name, status in statuses.items():
        if status is not None and not status.keepalived_active:
            text = (
                f"keepalived is not running on {name}: see journalctl -u keepalived "
                "there"
            )
            yield name, "keepalived", text
        if status is not None and not status.mover_active:
            text = (
                f"portway-address is not running on {name}, or hangs: see "
                "journalctl -u portway-address there"
            )
            yield name, "portway-address", text
        if status is not None and not status.keeper_active:
            text = (
                f"portway-streams is not running on {name}, or hangs: see "
                "journalctl -u portway-streams there"
            )
            yield name, "portway-streams", text
        if status is not None and not status.check_active:
            text = (
                f"portway-check is not running on {name}, so keepalived takes HAProxy "
                "for failed: see journalctl -u portway-check there"
            )
            yield name, "portway-check", text
        elif status is not None and status.keepalived_active:
            yield from ((name, "keepalived", t) for t in _check_is_off(name, status))


def _check_is_off(name: str, status: LoadBalancerStatus) -> Iterator[str]:
    """Why a failure of HAProxy would not move the address."""
    if status.check_counts:
        return
    what = f"keepalived on {name} does not run its check"
    if status.unsafe_paths:
        paths = " ".join(status.unsafe_paths)
        yield (
            f"{what}, because others than root may write to {paths}: chown root:root "
            f"{paths} && chmod go-w {paths} && systemctl restart keepalived there"
        )
    else:
        yield f"{what}: see journalctl -u keepalived there"


def _both_handed_over(
    cluster: Cluster, statuses: Mapping[str, LoadBalancerStatus | None]
) -> tuple[str, ...]:
    """The transfer that nobody can have meant: away from both."""
    handed_over = [status and status.handed_over for status in statuses.values()]
    if len(handed_over) < 2 or not all(handed_over):
        return ()
    (record,) = (lb.name for lb in cluster.load_balancers if lb.is_master)
    return (
        f"both {' and '.join(statuses)} have handed the address over on purpose, so "
        "each is to be spared: choose one with pyinfra INVENTORY deploys/transfer.py "
        f"--data transfer_to={record}",
    )


def waiting(
    cluster: Cluster, statuses: Mapping[str, LoadBalancerStatus | None]
) -> tuple[str, ...]:
    """Why the address is not at the master of record although that serves; () if it is.

    That is as it should be: a fail-over is undone only after ``fail_back``.
    """
    return tuple(
        f"{lb.peer.name} has held the address since a fail-over; {lb.name} has been "
        f"serving again for {status.waited:.0f} s and takes it back "
        f"{_when(cluster, status.waited)}"
        for lb in cluster.load_balancers
        if (status := statuses[lb.name]) is not None
        and status.waited is not None
        and lb.peer is not None
    )


def _when(cluster: Cluster, waited: float) -> str:
    by_hand = "when deploys/transfer.py says so"
    after = cluster.settings.fail_back
    if after is None:
        return by_hand
    return f"in {max(0.0, after - waited):.0f} s, or {by_hand}"


def _master_problems(
    cluster: Cluster,
    statuses: Mapping[str, LoadBalancerStatus | None],
    masters: Collection[str],
) -> tuple[str, ...]:
    """Why the VRRP master is not the one that it should be."""
    (record,) = (lb.name for lb in cluster.load_balancers if lb.is_master)
    serving = [
        lb.name
        for lb in cluster.load_balancers
        if (status := statuses[lb.name]) is not None
        and _stands(cluster, status, statuses[lb.peer.name] if lb.peer else None)
    ]
    status = statuses[record]
    if status is None or not serving:
        return ()
    preferred = [n for n in serving if not (n == record and status.handed_over)]
    right = record if record in preferred else (preferred or serving)[0]
    if right in masters or (None in statuses.values() and right != record):
        return ()
    if right == record and _may_wait(cluster, status):
        return ()
    why = "is the master of record" if right == record else "should be master"
    other = " and ".join(masters) or "the node that cannot be asked"
    return (f"{right} serves and {why}, but VRRP master is {other}",)


def _stands(
    cluster: Cluster, status: LoadBalancerStatus, peer: LoadBalancerStatus | None
) -> bool:
    """Whether a node may be master: keepalived's check asks for no more.

    ``--limit`` may leave a node out that has an older configuration: it lacks new
    clients, has some that are gone, and is the right master all the same.
    """
    serves = status.frontends - {STATS_FRONTEND} and status.backends
    return bool(serves) or not node_problems(cluster, status, peer)


def _may_wait(cluster: Cluster, status: LoadBalancerStatus) -> bool:
    """Whether the master of record rightly leaves the address where it is for now."""
    after = cluster.settings.fail_back
    if status.waited is None:
        return False
    return after is None or status.waited <= after + LATE


def _address_problems(
    cluster: Cluster,
    statuses: Mapping[str, LoadBalancerStatus | None],
    masters: Collection[str],
    objects: Sequence[AddressObject],
) -> tuple[str, ...]:
    """Where the address points to another node than the VRRP master."""
    names = {lb.node.interface_id: lb.name for lb in cluster.load_balancers}
    problems = []
    for found in objects:
        holder = names.get(found.holder or "", found.holder or "no one")
        silent = holder in statuses and statuses[holder] is None
        if holder in masters or (not masters and silent):
            continue
        reasons = "".join(
            f"; {name} says: {status.mover_failure}"
            for name in masters
            if (status := statuses[name]) and status.mover_failure
        )
        master = " and ".join(masters) or "a node that cannot be asked"
        problems.append(
            f"in AWS {cluster.stack.virtual_address.address} ({found.id}) points to "
            f"{holder}, but VRRP master is {master}{reasons}"
        )
    return tuple(problems)


def refusal_text(refused: Collection[str]) -> str:
    """What EC2 refused in a node's dry run, with the fix."""
    texts = "; ".join(text.rstrip(".") for text in refused)
    if any(word in texts for word in ("Unauthorized", "AccessDenied")):
        return (
            f"{texts}. Update the stack with this version's cloudformation/stack.yaml, "
            "and check that the instance has its instance profile"
        )
    return (
        f"{texts}. Check that the node reaches the EC2 API and has its instance "
        "profile, then run again"
    )
