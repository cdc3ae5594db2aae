"""What inventories and deploys ask: who to deploy to, and the Cluster of this run.

Inventories call ``load_balancers`` and ``app_nodes``; deploys call ``current_cluster``.
A run that would find nothing to do, or do it in an unsafe order, is refused here.
"""

from collections.abc import Mapping

from pyinfra import host, logger

from portway.aws.reading import read_stack
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.settings import settings_from
from portway.model.stack import Role, Stack
from portway.ops.pyinfra_errors import for_pyinfra
from portway.ops.reading import readings
from portway.run import command_line
from portway.run.run import Run

Hosts = list[tuple[str, dict[str, str]]]
RUN = (None, "run")


GROUPS = {Role.LOAD_BALANCER: "load_balancers", Role.APPLICATION: "app_nodes"}
"""What an inventory calls the nodes of a role."""
DEPLOYS = {
    "lb.py": (Role.LOAD_BALANCER,),
    "transfer.py": (Role.LOAD_BALANCER,),
    "db.py": (Role.APPLICATION,),
}
"""Deploys that need only some of the nodes; pyinfra connects to all it is given."""
CHANGES = {**DEPLOYS, "app.py": (Role.APPLICATION,)}
"""Deploys that change only some: ``app.py`` uses the load balancers to drain nodes."""


@for_pyinfra
def load_balancers(stack: str, region: str) -> Hosts:
    """The load balancers of a CloudFormation stack, as pyinfra hosts.

    None if no deploy of this run needs them. Refused if the stack cannot be deployed
    to.
    """
    return _hosts(stack, region, Role.LOAD_BALANCER)


@for_pyinfra
def app_nodes(stack: str, region: str) -> Hosts:
    """The application nodes of a CloudFormation stack, in the same way."""
    return _hosts(stack, region, Role.APPLICATION)


def _hosts(stack: str, region: str, role: Role) -> Hosts:
    found = _run(stack, region).stack
    needed = _roles(DEPLOYS)
    command_line.refuse_unsafe_options(
        {GROUPS[r]: [node.name for node in found.with_role(r)] for r in needed},
        {node.name for r in _roles(CHANGES) for node in found.with_role(r)},
    )
    if role not in needed:
        return []
    return [(n.name, {"ssh_hostname": n.address}) for n in found.with_role(role)]


def _run(name: str, region: str) -> Run:
    """The run of a stack, kept for the other groups and for the deploys."""
    known: Run | None = readings().get(RUN)
    if known is not None and (known.stack.name, known.stack.region) == (name, region):
        return known
    command_line.stop_at_the_first_failure()
    stack = read_stack(name, region, progress=lambda line: logger.info(f"    {line}"))
    _show_stack(stack)
    run = Run(stack, command_line.invocation())
    readings().keep(RUN, run)
    return run


def _roles(of: Mapping[str, tuple[Role, ...]]) -> tuple[Role, ...]:
    """The roles that a table has for the deploys on pyinfra's command line."""
    deploys = command_line.deploys()
    roles = {role for d in deploys for role in of.get(d, tuple(Role))}
    return tuple(role for role in Role if role in roles or not roles)


@for_pyinfra
def changes_everything() -> bool:
    """Whether this run changes the application and then the load balancers."""
    return "site.py" in current_run().invocation.files


@for_pyinfra
def current_cluster() -> Cluster:
    """The Cluster of this run: what AWS said, joined with the host's settings."""
    run = current_run()
    settings = settings_from(host.data.dict())  # type: ignore[no-untyped-call]
    is_new = not run.has_cluster(settings)
    cluster = run.cluster(settings)
    if is_new:
        _show_roles(cluster)
    return cluster


def current_run() -> Run:
    """The run that this code is part of."""
    run: Run | None = readings().get(RUN)
    if run is None:
        raise PortwayError(
            "this inventory did not read a stack",
            do="use one that calls "
            "portway.run.inventory.load_balancers, such as inventories/prod.py",
        )
    return run


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
