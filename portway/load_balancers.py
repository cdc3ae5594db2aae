"""What is done to one load balancer, in the words of the job."""

from collections.abc import Callable, Generator
from itertools import filterfalse

import gevent
from pyinfra import host, inventory, logger, state
from pyinfra.api import FunctionCommand, operation
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from portway import aws
from portway.changes import ManagedFile, WantedNode, is_settled
from portway.cluster import Cluster, LoadBalancer
from portway.errors import PortwayError, Problem, refuse_if_any
from portway.facts import AddressPermissions, LoadBalancerFacts
from portway.node.address.config import TRANSFER
from portway.operations import (
    apply_sysctls,
    install_packages,
    read_node,
    run_service,
    write_file,
    write_files,
)
from portway.render import KEEPALIVED
from portway.render import load_balancer as render_load_balancer
from portway.render_address import is_of_mover
from portway.verify import (
    LoadBalancerStatus,
    node_shortcomings,
    pair_shortcomings,
    told_refusal,
    unserved,
)

Commands = Generator[FunctionCommand, None, None]
Statuses = dict[str, LoadBalancerStatus | None]
"""By node name; None for one that cannot be reached."""

_unreachable: set[str] = set()
"""Nodes of which it was told that they cannot be asked; once is enough."""


def wanted_load_balancer(cluster: Cluster, lb: LoadBalancer) -> WantedNode:
    """What the current host should be; refused before anything is touched if it cannot.

    The files are rendered once without the node, so that a broken template is found
    first, and then with what only the node knows.
    """
    found = read_node(render_load_balancer(cluster, lb, interface=""))
    interface = found.interfaces.get(lb.node.address)
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
    if interface is None:
        text = f"has no interface with its address {lb.node.address}; is it the node?"
        problems.append(Problem(lb.name, "", text))
    refuse_if_any(problems)
    return render_load_balancer(cluster, lb, interface or "")


def apply_load_balancer(wanted: WantedNode) -> None:
    """Bring the current host to what is wanted, without cutting a stream.

    All but keepalived, which comes last on the standby: see ``run_keepalived``.
    """
    install_packages(wanted=wanted, name="Install packages")
    write_files(
        files=tuple(filter(is_of_mover, wanted.files)),
        wanted=wanted,
        name="Write the address mover",
    )
    try_permissions(wanted=wanted, name="Try what the node may do in AWS")
    for file in filterfalse(is_of_mover, wanted.files):
        write_file(file=file, wanted=wanted, name=f"Write {file.path}")
    apply_sysctls(wanted=wanted, name="Apply kernel settings")
    for service in wanted.services:
        if service != KEEPALIVED:
            run_service(service=service, wanted=wanted, name=f"Run {service.unit}")


def run_keepalived(wanted: WantedNode) -> None:
    """Let the current host take part in VRRP with its current configuration.

    The holder of the address first: it must know a new peer before that peer starts,
    which would hear no one and take the address.
    """
    run_service(service=KEEPALIVED, wanted=wanted, name="Run keepalived")


@operation()
def try_permissions(wanted: WantedNode) -> Commands:
    """Fail with the name of each permission that the node lacks to move the address.

    It comes before anything is switched. Where nothing is to be, the mover that runs
    has tried them by itself, and ``verify_pair`` asks it.
    """
    if not state.is_executing or is_settled(wanted, read_node(wanted)):
        return
    if refused := host.get_fact(AddressPermissions):
        yield _failure(f"could not move the address: {told_refusal(refused)}")


@operation()
def verify_standby(cluster: Cluster, lb: LoadBalancer) -> Commands:
    """Let no operation of the holder begin before the standby has done and serves.

    pyinfra orders operations only along each host's own list; those of hosts that
    share none run side by side. So both hosts have this one: the standby behind its
    other operations, the holder, for whom it does nothing, before all of its own.
    """
    if not lb.holds_address:
        yield from verify_load_balancer._inner(cluster)


@operation()
def verify_load_balancer(cluster: Cluster) -> Commands:
    """Wait until the current host serves every client, or fail with what is missing.

    What its peer does not serve either stops no one here; ``verify_pair`` tells it.
    """
    if not state.is_executing:
        return
    peer = cluster.load_balancer(host.name).peer.name

    def look() -> tuple[str, ...]:
        own, other = _ask(cluster, host), _ask_if_possible(cluster, peer)
        return node_shortcomings(cluster, own, other)

    if missing := _wait_until_none(cluster, look):
        yield _failure(f"does not serve: {'; '.join(missing)}")


@operation()
def verify_pair(cluster: Cluster) -> Commands:
    """Wait until exactly the right node is VRRP master and has the address in AWS.

    And, last of all, until some node of the application is there for every client.
    """
    if not state.is_executing:
        return
    read_places = aws.places_reader(cluster.stack)
    statuses: Statuses = {}

    def look() -> tuple[str, ...]:
        statuses.update(_ask_pair(cluster))
        wrong = pair_shortcomings(cluster, statuses, read_places())
        return wrong or unserved(cluster, statuses)

    if missing := _wait_until_none(cluster, look):
        yield _failure(f"not all is well: {'; '.join(missing)}")
    for name, status in statuses.items():
        if status and status.handed_over:
            logger.warning(
                f"{host.print_prefix}{name} has handed the address over on purpose; "
                "until deploys/transfer.py hands it back, the other node is preferred"
            )


def transfer_target(cluster: Cluster) -> LoadBalancer:
    """The node that the address is to be handed to.

    Raises PortwayError if the setting ``transfer_to`` names none of the pair.
    """
    names = [lb.name for lb in cluster.load_balancers]
    wanted = cluster.settings.transfer_to
    if wanted not in names:
        said = f'"{wanted}" is not one of them' if wanted else "it is not given"
        options = " or ".join(f"--data transfer_to={name}" for name in sorted(names))
        raise PortwayError(
            f"transfer_to: say which load balancer shall have the address: {options} "
            f"({said})"
        )
    active = {member.name for member in inventory.get_active_hosts()}
    if left_out := sorted(set(names) - active):
        raise PortwayError(
            "a transfer concerns both load balancers, and this run leaves "
            f"{', '.join(left_out)} out; run it without --limit and --exclude"
        )
    return cluster.load_balancer(wanted)


@operation()
def verify_target(cluster: Cluster, target: LoadBalancer) -> Commands:
    """Fail unless the node that the address is handed to serves every client.

    Both hosts have it, so that neither goes on before it is known; the other host does
    nothing for it.
    """
    if not state.is_executing or host.name != target.name:
        return
    status = _ask(cluster, host)
    peer = _ask_if_possible(cluster, cluster.load_balancer(host.name).peer.name)
    missing = node_shortcomings(cluster, status, peer)
    if not status.keepalived_active:
        missing += ("keepalived is not running",)
    if not status.mover_active:
        missing += ("portway-address is not running, or hangs",)
    if refused := host.get_fact(AddressPermissions):
        missing += (told_refusal(refused),)
    if missing:
        yield _failure(
            f"{target.name} cannot take the address: {'; '.join(missing)}; the "
            "address stays where it is"
        )


def hand_over(lb: LoadBalancer, target: LoadBalancer) -> None:
    """Write down on the current host whether it gives the address away.

    Only the master of record ever does: without that it is preferred anyway.
    """
    gives = lb.is_master and lb.name != target.name
    file = ManagedFile(str(TRANSFER), f"{gives:d}\n", "644")
    wanted = WantedNode(packages=(), files=(file,), sysctls={}, services=())
    write_file(file=file, wanted=wanted, name=f"Prefer {target.name}")


@operation()
def verify_transfer(cluster: Cluster, target: LoadBalancer) -> Commands:
    """Wait until a node is VRRP master and has the address, or fail with what lacks."""
    if not state.is_executing:
        return
    read_places = aws.places_reader(cluster.stack)

    def look() -> tuple[str, ...]:
        statuses = _ask_pair(cluster)
        if found := pair_shortcomings(cluster, statuses, read_places()):
            return found
        status = statuses[target.name]
        if status is None or not status.is_vrrp_master:
            return (f"{target.name} is not VRRP master",)
        return ()

    if wrong := _wait_until_none(cluster, look):
        yield _failure(f"the address was not handed over: {'; '.join(wrong)}")


def is_last(cluster: Cluster, lb: LoadBalancer) -> bool:
    """Whether no other node of this run comes after this one."""
    active = {member.name for member in inventory.get_active_hosts()}
    ours = [m.name for m in cluster.load_balancers if m.name in active]
    return ours[-1] == lb.name


def _ask(cluster: Cluster, node: Host) -> LoadBalancerStatus:
    address = cluster.stack.virtual_address.address
    return node.get_fact(LoadBalancerFacts, vrrp_address=address)


def _ask_pair(cluster: Cluster) -> Statuses:
    """The status of each node of the pair."""
    return {
        lb.name: _ask_if_possible(cluster, lb.name) for lb in cluster.load_balancers
    }


def _ask_if_possible(cluster: Cluster, name: str) -> LoadBalancerStatus | None:
    """The status of a node; None if it cannot be reached."""
    try:
        return _ask(cluster, inventory.get_host(name))
    except PyinfraError as error:
        if name not in _unreachable:
            logger.warning(f"{host.print_prefix}cannot ask {name}: {error}")
        _unreachable.add(name)
        return None


def _wait_until_none(
    cluster: Cluster, look: Callable[[], tuple[str, ...]]
) -> tuple[str, ...]:
    """Look once a second until nothing is left to complain of or the time is up."""
    found: tuple[str, ...] = ("the node does not answer in time",)
    with gevent.Timeout(cluster.settings.verify_timeout, False):
        while found := look():
            logger.debug("waiting: %s", "; ".join(found))
            gevent.sleep(1)
        return ()
    return found


def _failure(text: str) -> FunctionCommand:
    """A command that fails with a text; pyinfra then stops the run."""

    def fail(state: State, host: Host) -> bool:  # noqa: ARG001 - pyinfra's signature
        host.log_styled(text, fg="red", log_func=logger.error)
        return False

    return FunctionCommand(fail, (), {})
