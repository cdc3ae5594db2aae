"""Handing the address over on purpose."""

from pyinfra import host, inventory, logger, state

from portway.aws.reading import address_reader
from portway.contract.paths import TAKE_BACK, TRANSFER
from portway.contract.transfer import transfer_text
from portway.errors import PortwayError
from portway.load_balancers.asking import (
    ask_if_possible,
    ask_pair,
    ask_status,
    wait_until_none,
)
from portway.load_balancers.haproxy import BalancingFacts
from portway.load_balancers.status import AddressPermissions
from portway.load_balancers.verify import node_problems, pair_problems, refusal_text
from portway.model.cluster import Cluster, LoadBalancer
from portway.ops.differences import Difference
from portway.ops.fence import change
from portway.ops.operations import write_file
from portway.ops.pyinfra_errors import Commands, failure, for_pyinfra, operation
from portway.ops.remote import ask, node_of_run
from portway.render.files import ManagedFile, WantedNode


@for_pyinfra
def transfer_target(cluster: Cluster) -> LoadBalancer:
    """The node that the address is to be handed to.

    Raises PortwayError if the setting ``transfer_to`` names none of the pair.
    """
    names = [lb.name for lb in cluster.load_balancers]
    wanted = cluster.settings.transfer_to
    if len(names) == 1:
        raise PortwayError(
            f"there is no load balancer but {names[0]} to hand the address to",
            do="launch another, run deploys/lb.py, and then this again",
        )
    if wanted not in names:
        reason = f'"{wanted}" is not one of them' if wanted else "it is not given"
        options = " or ".join(f"--data transfer_to={name}" for name in sorted(names))
        raise PortwayError(
            "transfer_to: name the load balancer to hand the address to: "
            f"{options} ({reason})"
        )
    active = {member.name for member in inventory.get_active_hosts()}
    if left_out := sorted(set(names) - active):
        raise PortwayError(
            "a transfer needs both load balancers, and this run leaves out "
            f"{', '.join(left_out)}",
            do="run it without --limit and --exclude",
        )
    return cluster.load_balancer(wanted)


@operation
def verify_target(cluster: Cluster, target: LoadBalancer) -> Commands:
    """Fail unless the node that gets the address serves every client.

    Both hosts have it, so that neither goes on before the result is known; the other
    host does nothing for it.
    """
    if not state.is_executing or host.name != target.name:
        return
    status = ask_status(cluster, host.name)
    peer = ask_if_possible(cluster, other.name) if (other := target.peer) else None
    problems = node_problems(cluster, status, peer)
    if not status.keepalived_active:
        problems += ("keepalived is not running",)
    if not status.mover_active:
        problems += ("portway-address is not running, or hangs",)
    if not status.check_active:
        problems += ("portway-check is not running",)
    if refused := ask(host, AddressPermissions):
        problems += (refusal_text(refused),)
    if problems:
        what = f"{target.name} cannot take the address, which stays where it is"
        yield failure(what, problems)


@for_pyinfra
def hand_over(lb: LoadBalancer, target: LoadBalancer) -> None:
    """Write on the current host whether it gives the address away.

    Only the master of record ever does: without that it is preferred anyway.
    """
    text = transfer_text(gives_away=lb.is_master and lb.name != target.name)
    file = ManagedFile(str(TRANSFER), text, "644")
    write_file(
        file=file, wanted=WantedNode(files=(file,)), name=f"Prefer {target.name}"
    )


@operation
def take_back(cluster: Cluster, lb: LoadBalancer, target: LoadBalancer) -> Commands:
    """Have the master of record take the address now, whatever ``fail_back`` says.

    It forgets the request when it has the address.
    """
    if not state.is_executing or lb.name != target.name or not lb.is_master:
        return
    if not ask_status(cluster, lb.name).is_vrrp_master:
        what = "is not where the transfer wants it"
        yield from change([Difference("address", "", what)], f"touch {TAKE_BACK}")


@operation
def verify_transfer(cluster: Cluster, target: LoadBalancer) -> Commands:
    """Wait until the target is VRRP master and has the address, or fail and say why."""
    if not state.is_executing:
        return
    read_address = address_reader(cluster.stack)

    def look() -> tuple[str, ...]:
        statuses = ask_pair(cluster)
        if found := pair_problems(cluster, statuses, read_address()):
            return found
        status = statuses[target.name]
        if status is None or not status.is_vrrp_master:
            return (f"{target.name} is not VRRP master",)
        return ()

    if problems := wait_until_none(cluster, look):
        yield failure("the address was not handed over", problems)


@operation
def tell_streams_left(target: LoadBalancer) -> Commands:
    """Say how many streams the node that gave the address away still has.

    AWS lets an Elastic IP's open connections go on through it for a time.
    """
    if not state.is_executing or target.peer is None:
        return
    if text := streams_left(target.peer.name):
        logger.warning(f"{host.print_prefix}{text}")
    yield from ()


def streams_left(name: str) -> str:
    """What to know of the streams that a node still has; empty if it has none."""
    then = f"before you stop or reboot {name}, run this again"
    try:
        left = ask(node_of_run(name), BalancingFacts).streams
    except PortwayError as error:  # the address was handed over all the same
        return f"{error.message}; it may still have streams: {then}"
    if not left:
        return ""
    streams = f"{left} stream{'s' * (left > 1)}"
    return (
        f"{name} still has {streams}, which may carry messages for a time: {then} "
        "until it has none"
    )
