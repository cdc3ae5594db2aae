"""What is done to one load balancer, in the words of the job."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import filterfalse

from pyinfra import host, logger, state

from portway.aws.reading import address_reader
from portway.errors import Problem, refuse_if_any
from portway.load_balancers.asking import (
    Statuses,
    ask_if_possible,
    ask_pair,
    ask_reachable,
    ask_status,
    known_statuses,
    read_load_balancer,
    wait_until_none,
)
from portway.load_balancers.loading import run_haproxy
from portway.load_balancers.looking import look_at_node, look_at_pair
from portway.load_balancers.permissions import try_permissions
from portway.load_balancers.ports import taken_ports, verify_ports
from portway.load_balancers.pulled import (
    note_that_it_does_not_serve,
    unproven_backends,
)
from portway.load_balancers.verify import (
    client_nodes,
    down_servers,
    keeper_problems,
    node_problems,
    older_streams,
    pair_problems,
    unserved,
    unserved_clients,
    waiting,
    without_nodes,
    without_peer,
)
from portway.model.cluster import Cluster, LoadBalancer
from portway.ops.connector import is_own
from portway.ops.describing import wishes
from portway.ops.differences import Difference, FoundNode
from portway.ops.fence import change
from portway.ops.findings import NODE, is_look, wish
from portway.ops.operations import (
    apply_sysctls,
    read_node,
    read_units,
    remove_stray_files,
    run_service,
    write_file,
    write_files,
)
from portway.ops.packages import install_packages
from portway.ops.pyinfra_errors import Commands, failure, for_pyinfra, operation
from portway.ops.reading import is_confirmed, once_per_run
from portway.render.address_mover import address_paths
from portway.render.check import check_paths
from portway.render.files import ManagedFile, WantedNode
from portway.render.load_balancer import (
    HAPROXY,
    KEEPALIVED,
    PAIR,
    PROGRAMS,
    before_reload_paths,
    load_balancer,
    without_pair,
)
from portway.render.streams import streams_paths


@for_pyinfra
def wanted_load_balancer(cluster: Cluster, lb: LoadBalancer) -> WantedNode:
    """What the current host should have; refused if the node cannot have it."""
    found = read_load_balancer(cluster)
    problems = [
        Problem(
            lb.name,
            frontend.name,
            f"port {frontend.port} is used by {found.listeners[frontend.port]} on this "
            "node; give the client another port or stop that program",
        )
        for frontend in cluster.frontends
        if frontend.port in found.listeners
    ]
    problems += taken_ports(cluster, lb, found)
    if lb.node.address not in found.interfaces:
        text = (
            f"no interface has its address {lb.node.address}; is this the right node?"
        )
        problems.append(Problem(lb.name, "", text))
    refuse_if_any(problems)
    wanted = load_balancer(cluster, lb)
    wish(lb.name, NODE, wishes(wanted))
    return without_pair(wanted) if lb.peer is None and has_part(found) else wanted


def has_part(found: FoundNode) -> bool:
    """Whether a node takes part in a pair: what runs for it was deployed, and runs."""
    units = [found.services.get(service.unit) for service in PAIR]
    return all(unit and unit.active for unit in units) and all(
        service.config in found.files for service in PAIR
    )


@for_pyinfra
def apply_load_balancer(cluster: Cluster, wanted: WantedNode) -> None:
    """Bring the current host to what is wanted, without cutting a stream.

    Everything but keepalived, which comes last on the standby: see ``run_keepalived``.
    """
    configs = {service.config for service in PROGRAMS}
    programs = {
        *streams_paths(),
        *address_paths(),
        *check_paths(),
        *before_reload_paths(),
    }

    def is_of_program(file: ManagedFile) -> bool:
        return file.path in programs

    def is_config(file: ManagedFile) -> bool:
        return file.path in configs

    install_packages(wanted=wanted, name="Install packages")
    ours = tuple(filter(is_of_program, wanted.files))
    # A program that is started from here on is the new one, and with the old
    # configuration it counts as the old: the old one must not take the new one's.
    write_files(
        files=tuple(filterfalse(is_config, ours)),
        wanted=wanted,
        name="Write Portway's programs",
    )
    read_units(
        services=tuple(filter(wanted.services.__contains__, PROGRAMS)),
        wanted=wanted,
        name="Have systemd read what starts them",
    )
    write_files(
        files=tuple(filter(is_config, ours)),
        wanted=wanted,
        name="Write their configurations",
    )
    try_permissions(
        stack=cluster.stack, wanted=wanted, name="Test what the node may do in AWS"
    )
    apply_sysctls(wanted=wanted, name="Apply kernel settings")  # they reserve ports
    verify_ports(
        cluster=cluster,
        wanted=wanted,
        name="Verify that HAProxy can listen on its ports",
    )
    for file in filterfalse(is_of_program, wanted.files):
        write_file(file=file, wanted=wanted, name=f"Write {file.path}")
    for service in wanted.services:
        if service == HAPROXY:
            run_haproxy(cluster=cluster, wanted=wanted, name="Run haproxy")
        elif service != KEEPALIVED:
            run_service(service=service, wanted=wanted, name=f"Run {service.unit}")


@for_pyinfra
def run_keepalived(cluster: Cluster, wanted: WantedNode) -> None:
    """Let the current host take part in VRRP with its current configuration.

    The holder of the address first: it must know a new peer before that peer starts.
    A peer that hears no adverts would take the address. Until it is reloaded it may use
    files of another version, so those are removed afterwards.
    """
    if KEEPALIVED in wanted.services:
        run_service(service=KEEPALIVED, wanted=wanted, name="Run keepalived")
    restart_upgraded(
        cluster=cluster, wanted=wanted, name="Run keepalived as its package has it"
    )
    remove_stray_files(wanted=wanted, name="Remove files of other versions")


@operation
def restart_upgraded(cluster: Cluster, wanted: WantedNode) -> Commands:
    """Restart a keepalived whose package was upgraded, where that moves nothing.

    The package may not restart it by itself: see the template of ``policy-rc.d``.
    """
    found = read_node(wanted.survey)
    unit = found.services.get(KEEPALIVED.unit)
    if unit is None or not unit.program_replaced:
        host.noop("keepalived runs the program that its package has")
    elif cluster.stack.virtual_address.address not in found.interfaces:
        yield from change(
            [
                Difference(
                    "service",
                    KEEPALIVED.unit,
                    "runs an older program than its package has",
                    wanted.file(KEEPALIVED.config).sha256,
                )
            ],
            f"systemctl restart {KEEPALIVED.unit}",
        )
    elif not is_confirmed():
        logger.warning(
            f"{host.print_prefix}{host.name} holds the address, and its keepalived is "
            "older than its package, because a restart would move the address; hand "
            "it over with deploys/transfer.py, then run deploys/lb.py again"
        )


@operation
def verify_standby(cluster: Cluster, lb: LoadBalancer) -> Commands:
    """Let no operation of the holder begin before the standby is done and serves.

    pyinfra orders operations only along each host's own list; those of hosts that
    share none run side by side. So both hosts have this one: the standby after its
    other operations, the holder, for which it does nothing, before all of its own.
    """
    if not lb.holds_address:
        yield from _verify_host(cluster)


@operation
def verify_load_balancer(cluster: Cluster) -> Commands:
    """Wait until the current host serves every client, or fail with what is missing."""
    yield from _verify_host(cluster)


def _verify_host(cluster: Cluster) -> Commands:
    """What its peer does not serve either is no failure; ``verify_pair`` reports it.

    So the peer is asked only if something is not served.
    """
    if is_look():
        look_at_node()
    if not state.is_executing:
        return
    peer = cluster.load_balancer(host.name).peer
    known = known_statuses(cluster) or {}
    needed = unproven_backends(cluster) if is_own(host) else frozenset()

    def look() -> tuple[str, ...]:
        own = known.pop(host.name, None) or ask_status(cluster, host.name)
        if is_own(host):
            return node_problems(cluster, own, replace(own, backends=needed))
        serves_all = own.backends >= {b.name for b in cluster.backends if b.servers}
        other = ask_if_possible(cluster, peer.name) if peer and not serves_all else None
        return node_problems(cluster, own, other)

    if missing := wait_until_none(cluster, look):
        if is_own(host):
            note_that_it_does_not_serve()
        yield failure(f"{host.name} does not serve every client", missing)


@operation
def verify_pair(cluster: Cluster) -> Commands:
    """Wait until exactly the right node is VRRP master and has the address in AWS.

    And, last of all, until every client has at least one healthy application node.
    """
    if is_look():
        look_at_pair(cluster)
    if not state.is_executing:
        return
    read_address = address_reader(cluster.stack)
    statuses: Statuses = {}
    known = known_statuses(cluster)

    def look() -> tuple[str, ...]:
        nonlocal known
        statuses.update(known or ask_pair(cluster))
        known = None
        wrong = pair_problems(cluster, statuses, read_address())
        return wrong or unserved(cluster, statuses)

    if problems := wait_until_none(cluster, look):
        yield failure("verification failed", problems)
    nodes = client_nodes(cluster, statuses)
    _warn(older_streams(statuses))
    kept = keeper_problems(statuses).items()
    _warn(f"{name}: portway-streams: {problem}" for name, problem in kept)
    _warn(down_servers(statuses))
    _warn(unserved_clients(cluster, nodes, ask_reachable(cluster, nodes)))
    for name, status in statuses.items():
        if status and status.handed_over:
            logger.warning(
                f"{host.print_prefix}{name} has handed the address over on purpose; "
                "until deploys/transfer.py hands it back, the other node is preferred"
            )
    _warn(waiting(cluster, statuses))


@operation
def verify_clients(cluster: Cluster) -> Commands:
    """Fail if there is a client without any node, or a load balancer without its peer.

    Comes last: all else is done by then.
    """
    if not state.is_executing:
        return
    if problems := [*without_peer(cluster), *without_nodes(cluster)]:
        yield failure("everything else is done", problems)


@operation
def warn_of_down_servers(cluster: Cluster) -> Commands:
    """Name each application node that is down for a load balancer, once in a run."""
    if state.is_executing and not is_own(host):
        once_per_run("down servers", lambda: _warn(down_servers(ask_pair(cluster))))
    yield from ()


def _warn(texts: Iterable[str]) -> None:
    for text in texts:
        logger.warning(f"{host.print_prefix}{text}")
