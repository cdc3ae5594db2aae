"""The seam between pyinfra and the rest: who to deploy to, and the Cluster of this run.

Inventories call ``load_balancers`` and ``app_nodes``; deploys call ``current_cluster``.
A run that would find nothing to do, or do it in an unsafe order, is refused here.
"""

from collections.abc import Mapping

from pyinfra import host, logger

from portway import command_line
from portway.aws import read_stack
from portway.clients import read_clients
from portway.cluster import Cluster, build_cluster
from portway.errors import PortwayError
from portway.settings import settings_from
from portway.stack import Role, Stack

Hosts = list[tuple[str, dict[str, str]]]

_stack: list[Stack] = []
_clusters: dict[str, Cluster] = {}


GROUPS = {Role.LOAD_BALANCER: "load_balancers", Role.APPLICATION: "app_nodes"}
"""What an inventory calls the nodes of a role."""
DEPLOYS = {
    "lb.py": (Role.LOAD_BALANCER,),
    "transfer.py": (Role.LOAD_BALANCER,),
    "db.py": (Role.APPLICATION,),
}
"""Deploys that need only some of the nodes; pyinfra connects to all it is given."""
CHANGES = {**DEPLOYS, "app.py": (Role.APPLICATION,)}
"""Deploys that change only some: ``app.py`` needs the load balancers to drain nodes."""


def load_balancers(stack: str, region: str) -> Hosts:
    """The load balancers of a CloudFormation stack, as pyinfra hosts.

    None if no deploy of this run needs them. Raises PortwayError if the stack is not
    in a state to be deployed to.
    """
    return _hosts(stack, region, Role.LOAD_BALANCER)


def app_nodes(stack: str, region: str) -> Hosts:
    """The application nodes of a CloudFormation stack, in the same way."""
    return _hosts(stack, region, Role.APPLICATION)


def _hosts(stack: str, region: str, role: Role) -> Hosts:
    found = _read_stack_once(stack, region)
    needed = _roles(DEPLOYS)
    command_line.refuse_unsafe_options(
        {GROUPS[r]: [node.name for node in found.with_role(r)] for r in needed},
        {node.name for r in _roles(CHANGES) for node in found.with_role(r)},
    )
    if role not in needed:
        return []
    return [(n.name, {"ssh_hostname": n.address}) for n in found.with_role(role)]


def _read_stack_once(name: str, region: str) -> Stack:
    """What AWS says of a stack, kept for the other groups and for the deploys."""
    if not _stack or (_stack[0].name, _stack[0].region) != (name, region):
        command_line.stop_at_the_first_failure()
        found = read_stack(
            name, region, progress=lambda line: logger.info(f"    {line}")
        )
        _stack[:] = [found]
        _show_stack(found)
    return _stack[0]


def _roles(of: Mapping[str, tuple[Role, ...]]) -> tuple[Role, ...]:
    """The roles that a table has for the deploys on pyinfra's command line."""
    deploys = command_line.deploys()
    roles = {role for d in deploys for role in of.get(d, tuple(Role))}
    return tuple(role for role in Role if role in roles or not roles)


def current_cluster() -> Cluster:
    """The Cluster of this run: what AWS said, joined with the host's settings."""
    if not _stack:
        raise PortwayError(
            "this inventory did not read a stack; use one that calls "
            "portway.inventory.load_balancers, such as inventories/prod.py"
        )
    settings = settings_from(host.data.dict())  # type: ignore[no-untyped-call]
    key = settings.model_dump_json()
    if key not in _clusters:
        clients = read_clients(settings.clients_path)
        _clusters[key] = build_cluster(_stack[0], settings, clients)
        _show_roles(_clusters[key])
    return _clusters[key]


def _show_stack(stack: Stack) -> None:
    logger.info(f"    Stack {stack.name} in {stack.region}:")
    for node in stack.nodes:
        logger.info(
            f"    {node.name:<10} {node.address:<15} {node.role:<13} "
            f"{node.zone}  {node.instance_id}"
        )


def _show_roles(cluster: Cluster) -> None:
    virtual = cluster.stack.virtual_address
    for lb in cluster.load_balancers:
        role = "master" if lb.is_master else "backup"
        holds = ""
        if lb.node.interface_id == virtual.holder:
            holds = f", holds {virtual.address}"
        logger.info(f"    {lb.name}: {role} (priority {lb.priority}){holds}")
    logger.info(
        f"    {len(cluster.frontends)} clients on "
        f"{len(cluster.backends)} shared backends"
    )
