"""What is done to one load balancer, in the words of the job."""

from collections.abc import Callable, Generator

import gevent
from pyinfra import host, inventory, logger, state
from pyinfra.api import FunctionCommand, operation
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from portway import aws
from portway.changes import WantedNode
from portway.cluster import Cluster, LoadBalancer
from portway.errors import Problem, refuse_if_any
from portway.facts import LoadBalancerFacts, LoadBalancerStatus
from portway.operations import (
    apply_sysctls,
    install_packages,
    read_node,
    run_service,
    write_file,
)
from portway.render import load_balancer as render_load_balancer
from portway.verify import node_shortcomings, pair_shortcomings

Commands = Generator[FunctionCommand, None, None]


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
    """Bring the current host to what is wanted, without cutting a stream."""
    install_packages(wanted=wanted, name="Install packages")
    for file in wanted.files:
        write_file(file=file, wanted=wanted, name=f"Write {file.path}")
    apply_sysctls(wanted=wanted, name="Apply kernel settings")
    for service in wanted.services:
        run_service(service=service, wanted=wanted, name=f"Run {service.unit}")


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
    """Wait until the current host serves every client, or fail with what is missing."""
    if not state.is_executing:
        return
    missing = _wait_until_none(
        cluster, lambda: node_shortcomings(cluster, _ask(cluster))
    )
    if missing:
        yield _failure(f"does not serve: {'; '.join(missing)}")


@operation()
def verify_pair(cluster: Cluster) -> Commands:
    """Wait until exactly the right node is VRRP master, or fail with what is wrong."""
    if not state.is_executing:
        return
    wrong = _wait_until_none(
        cluster, lambda: pair_shortcomings(cluster, _ask_pair(cluster))
    )
    if wrong:
        yield _failure(
            f"the pair is not right: {'; '.join(wrong)}. Both must reach each other by "
            "IP protocol 112, and both must have been deployed from the same settings"
        )


@operation()
def associate_address(cluster: Cluster) -> Commands:
    """Give the Elastic IP to the VRRP master if no node holds it; never move it."""
    elastic_ip = cluster.stack.elastic_ip
    if elastic_ip.holder is not None:
        host.noop(f"{elastic_ip.address} is held by {elastic_ip.holder}")
        return
    yield FunctionCommand(_associate, (cluster,), {})


def _associate(cluster: Cluster) -> None:
    masters = [name for name, s in _ask_pair(cluster).items() if s and s.is_vrrp_master]
    node = cluster.load_balancer(masters[0]).node
    elastic_ip = cluster.stack.elastic_ip
    aws.associate_elastic_ip(
        cluster.stack.region, elastic_ip.allocation_id, node.instance_id
    )
    logger.info(f"{host.print_prefix}{elastic_ip.address} now leads to {node.name}")


def is_last(cluster: Cluster, lb: LoadBalancer) -> bool:
    """Whether no other node of this run comes after this one."""
    active = {member.name for member in inventory.get_active_hosts()}
    ours = [m.name for m in cluster.load_balancers if m.name in active]
    return ours[-1] == lb.name


def _ask(cluster: Cluster) -> LoadBalancerStatus:
    address = cluster.stack.elastic_ip.address
    return host.get_fact(LoadBalancerFacts, vrrp_address=address)


def _ask_pair(cluster: Cluster) -> dict[str, LoadBalancerStatus | None]:
    """The status of each node of the pair, None for one that cannot be reached."""
    statuses: dict[str, LoadBalancerStatus | None] = {}
    address = cluster.stack.elastic_ip.address
    for lb in cluster.load_balancers:
        node = inventory.get_host(lb.name)
        try:
            statuses[lb.name] = node.get_fact(LoadBalancerFacts, vrrp_address=address)
        except PyinfraError as error:
            logger.warning(f"{host.print_prefix}cannot ask {lb.name}: {error}")
            statuses[lb.name] = None
    return statuses


def _wait_until_none(
    cluster: Cluster, look: Callable[[], tuple[str, ...]]
) -> tuple[str, ...]:
    """Look once a second until nothing is left to complain of or the time is up."""
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
