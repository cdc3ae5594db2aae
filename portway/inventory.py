"""The seam between pyinfra and the rest: who to deploy to, and the Cluster of this run.

Inventories call ``load_balancers`` and ``app_nodes``; deploys call ``current_cluster``.
A run that would find nothing to do, or do it in an unsafe order, is refused here.
"""

import signal
import sys
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import PurePath

import click
from pyinfra import host, logger, state

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
DEPLOYS = {"lb.py": (Role.LOAD_BALANCER,), "db.py": (Role.APPLICATION,)}
"""Deploys that need only some of the nodes; pyinfra connects to all it is given."""


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
    needed = _needed_roles()
    names = {n.name for needed_role in needed for n in found.with_role(needed_role)}
    _refuse_unsafe_options(names | {GROUPS[r] for r in needed} | {"all"})
    if role not in needed:
        return []
    return [(n.name, {"ssh_hostname": n.address}) for n in found.with_role(role)]


def _read_stack_once(name: str, region: str) -> Stack:
    """What AWS says of a stack, kept for the other groups and for the deploys."""
    if not _stack or (_stack[0].name, _stack[0].region) != (name, region):
        _stop_at_the_first_failure()
        found = read_stack(
            name, region, progress=lambda line: logger.info(f"    {line}")
        )
        _stack[:] = [found]
        _show_stack(found)
    return _stack[0]


def _needed_roles() -> tuple[Role, ...]:
    """The roles of the nodes that the deploys on pyinfra's command line are for."""
    context = click.get_current_context(silent=True)
    operations = context.params.get("operations", ()) if context else ()
    deploys = [PurePath(str(operation)).name for operation in operations]
    roles = {role for d in deploys for role in DEPLOYS.get(d, tuple(Role))}
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


def _show(line: str) -> None:
    logger.info(f"    {line}")


def _show_stack(stack: Stack) -> None:
    logger.info(f"    Stack {stack.name} in {stack.region}:")
    for node in stack.nodes:
        logger.info(
            f"    {node.name:<10} {node.address:<15} {node.role:<13} "
            f"{node.zone}  {node.instance_id}"
        )


def _show_roles(cluster: Cluster) -> None:
    elastic_ip = cluster.stack.elastic_ip
    for lb in cluster.load_balancers:
        role = "master" if lb.is_master else "backup"
        holds = ""
        if lb.node.instance_id == elastic_ip.holder:
            holds = f", holds {elastic_ip.address}"
        logger.info(f"    {lb.name}: {role} (priority {lb.priority}){holds}")
    logger.info(
        f"    {len(cluster.frontends)} clients on "
        f"{len(cluster.backends)} shared backends"
    )


def _stop_at_the_first_failure() -> None:
    """Make every failure and interruption end the run, with a status that says so.

    pyinfra would ask whether to go on to the next node after a failure, and would
    exit with status 0 when interrupted.
    """
    state.should_raise_failed_hosts = None

    def interrupted(number: int, _: object) -> None:
        click.echo("Interrupted; run it again to finish what was begun.", err=True)
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, interrupted)


def _refuse_unsafe_options(names: Collection[str]) -> None:
    """Refuse options of pyinfra that turn a failure into a success or a bad order."""
    context = click.get_current_context(silent=True)
    options = context.params if context else {}
    for option, reason in {
        "no_wait": "a failure would not stop the other node, nor fail the run",
        "serial": "nodes would come in random order instead of the standby first",
        "fail_percent": "the second node must not be touched when the first has failed",
    }.items():
        if options.get(option):
            flag = option.replace("_", "-")
            raise PortwayError(f"--{flag} cannot be used here: {reason}; leave it out")
    for option in ("limit", "exclude"):
        for pattern in options.get(option) or ():
            if not any(fnmatch(name, pattern) for name in names):
                known = ", ".join(sorted(names))
                raise PortwayError(
                    f"--{option} {pattern} matches no node; there are {known}"
                )
