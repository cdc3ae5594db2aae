"""What inventories and deploys ask: who to deploy to, and the Cluster of this run.

Inventories call ``load_balancers`` and ``app_nodes``; deploys call ``current_cluster``.
A run that would find nothing to do, or do it in an unsafe order, is refused here.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from pyinfra import host, logger
from pyinfra.api.host import Host
from pyinfra.api.state import State, StateStage
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import ctx_state

from portway.aws.discovery import Need
from portway.aws.preparing import Unprepared
from portway.aws.reading import WAIT_SECONDS, read_stack
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.settings import settings_from
from portway.model.stack import Node, Role, Stack
from portway.ops.connector import (
    STARTED,
    STOPPED,
    NodeConnector,
    connect_as_nodes,
)
from portway.ops.differences import Difference
from portway.ops.findings import differs, is_look, is_state
from portway.ops.private_parts import before_connecting, go_on_after_failure_if
from portway.ops.pyinfra_errors import for_pyinfra
from portway.ops.reading import readings
from portway.ops.way import INSTANCE, REGION
from portway.render.templates import compile_all
from portway.run import command_line, pulled
from portway.run.checkout import read_checkout
from portway.run.narration import narrate
from portway.run.pulled import is_pulled
from portway.run.run import Run
from portway.run.trust import Reached, reached, refuse_unknown, trust

Hosts = list[tuple[str, dict[str, Any]]]
RUN = (None, "run")
NEED = (None, "need")
READER = (None, "stack reader")
Reader = Callable[[str, str], Stack]
"""Reads a stack by its name and region."""


GROUPS = {Role.LOAD_BALANCER: "load_balancers", Role.APPLICATION: "app_nodes"}
"""What an inventory calls the nodes of a role."""
DEPLOYS = {
    "lb.py": (Role.LOAD_BALANCER,),
    "transfer.py": (Role.LOAD_BALANCER,),
    "db.py": (Role.APPLICATION,),
}
"""Deploys that need only some of the nodes; pyinfra connects to all it is given."""
NEEDS = {
    **dict.fromkeys(("lb.py", "transfer.py", "agent.py"), Need.NOTHING),
    "app.py": Need.ENDPOINT,
}
"""What deploys need of the stack's database; the others need it whole."""
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
    nodes, more = found.with_role(role), dict[str, Any]()
    if is_pulled():
        own = pulled.own_node(found, _roles(CHANGES))
        nodes, more = tuple(n for n in nodes if n == own), pulled.OWN_DATA
    return [(n.name, _host_data(n) | {REGION: region} | more) for n in nodes]


def _host_data(node: Node) -> dict[str, str]:
    data = {"ssh_hostname": node.address, INSTANCE: node.instance_id}
    data |= {STOPPED: "yes"} if node.is_stopped else {}
    return data | ({STARTED: node.started_at.isoformat()} if node.started_at else {})


def _run(name: str, region: str) -> Run:
    """The run of a stack, kept for the other groups and for the deploys."""
    known: Run | None = readings().get(RUN)
    if known is not None:
        if known.asked == (name, region):
            return known
        raise PortwayError(
            "this inventory names two stacks, "
            f"{known.asked[0]} in {known.asked[1]} and {name} in {region}",
            do="use an inventory for each, and a run for each",
        )
    reader: Reader | None = readings().get(READER)
    if reader is None:
        if is_look():
            command_line.stop_at_the_first_failure("nothing was changed")
        else:
            command_line.stop_at_the_first_failure()
    invocation = command_line.invocation()
    if invocation.files:
        narrate(_state())
    checkout = read_checkout()
    if invocation.files:
        _load_deploys()
    stack = reader(name, region) if reader else _read(name, region, invocation)
    _show_stack(stack)
    run = Run(stack, invocation, (name, region), checkout)
    go_on_after_failure_if(_state(), partial(_goes_on, run))
    readings().keep(RUN, run)
    before_connecting(_state(), lambda: _prepare_to_connect(run))
    return run


def _read(name: str, region: str, invocation: command_line.Invocation) -> Stack:
    return read_stack(
        name,
        region,
        prepares=bool(invocation.files) and not invocation.is_dry,
        need=max(
            (NEEDS.get(d, Need.SERVICE) for d in command_line.deploys()),
            default=readings().get(NEED) or Need.NOTHING,
        ),
        leaves=_leave,
        wait_seconds=_patience(),
        progress=_tell,
    )


def _patience() -> float:
    if is_look():
        return 0
    return pulled.WAIT_SECONDS if is_pulled() else WAIT_SECONDS


def _tell(line: str) -> None:
    """Say what a run waits for, or goes on without."""
    logger.info(f"    {line}")
    if is_look():
        is_state("", line)


def _leave(thing: Unprepared) -> None:
    """Keep what a run would change in AWS, and this one does not."""
    difference = Difference("instance", thing.instance_id, thing.what)
    differs(thing.node, [difference])


def _load_deploys() -> None:
    """Import and compile what deploys need before AWS is asked.

    Its answer is then used at once. Otherwise the deploys do it, and a new node waits.
    """
    compile_all()
    import portway.load_balancers.deploy  # noqa: PLC0415
    import portway.ops.ordering  # noqa: PLC0415
    import portway.run.exclusive  # noqa: PLC0415

    if Role.LOAD_BALANCER in _roles(CHANGES):
        import portway.application.changes  # noqa: PLC0415
        import portway.load_balancers.pulled  # noqa: PLC0415
        import portway.load_balancers.standby_first  # noqa: PLC0415
    if Role.APPLICATION in _roles(CHANGES):
        import portway.application.deploy  # noqa: F401, PLC0415


def _goes_on(run: Run, state: State) -> bool:
    """Whether a run has work on nodes besides those that nothing answered on.

    It then ends with status 1, because pyinfra remembers that they failed.
    """
    files = run.invocation.files
    if state.current_stage is not StateStage.Connect or not files:
        return False
    lost = {host.name for host in state.failed_hosts if _is_silent(host)}
    left = {host.name for host in state.active_hosts}
    if len(lost) < len(state.failed_hosts) or not _has_work(run, files, lost, left):
        return False
    for node in run.stack.nodes:
        if node.name in lost:
            logger.warning(
                f"{node.name} ({node.instance_id}) does not answer: this run does what "
                "can be done without it and ends with status 1; run it again when the "
                "node is back"
            )
    return True


def _has_work(run: Run, files: Iterable[str], lost: set[str], left: set[str]) -> bool:
    """Whether each kind of node that these deploys change has one that is left."""
    for file in files:
        for role in CHANGES.get(file, tuple(Role)):
            members = {node.name for node in run.stack.with_role(role)} & (lost | left)
            if members and not members & left:
                return False
            if file == "transfer.py" and members & lost:
                return False  # it is about both
    return True


def _is_silent(host: Host) -> bool:
    return isinstance(host.connector, NodeConnector) and host.connector.is_silent


def _state() -> State:
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    return state


@for_pyinfra
def _prepare_to_connect(run: Run) -> None:
    """Refuse nodes whose keys are not known; learn them before, if that is set.

    What ``--limit`` leaves out is connected to when it must be asked, in the same way,
    but nothing waits until it has booted.
    """
    state = _state()
    if is_pulled():
        pulled.connect_to_itself(state)
        return
    hosts = [host for host in state.inventory if host.connector_cls is SSHConnector]
    found = reached(run.stack, hosts)
    connect_as_nodes(state, [node.host for node in found])
    nodes = [
        node
        for node in found
        if state.is_host_in_limit(node.host) and not node.node.is_stopped
    ]
    unknown = [node for node in nodes if _trusts(node) and not node.is_known()]
    if unknown and not is_look():
        trust(run.stack, unknown, lambda line: logger.info(f"    {line}"))
    # A look finds out about the others what it can.
    changed = () if is_look() else _roles(CHANGES)
    refuse_unknown(_without_asked(nodes, changed))


def _without_asked(nodes: list[Reached], changed: tuple[Role, ...]) -> list[Reached]:
    """Those that a run cannot do without: not who is only asked, and is not known.

    A scaling group may have launched that one just now. A run that changes others goes
    on as if it did not answer.
    """
    left = [n for n in nodes if n.node.role in changed or n.is_trusted()]
    for node in nodes:
        if node not in left and isinstance(node.host.connector, NodeConnector):
            node.host.connector.unwanted = (
                "No SSH host key is known for it; record it: portway trust INVENTORY"
            )
    return left


def _trusts(node: Reached) -> bool:
    # Not by the settings: commands that need none, such as exec, connect as well.
    return node.host.data.get("trust_console_output") is True


@for_pyinfra
def nodes_of(
    inventory: Callable[[], Iterable[Host]], need: Need = Need.NOTHING
) -> tuple[Stack, list[Reached]]:
    """The stack that an inventory reads, and its nodes as a run would reach them.

    ``need`` is what is needed of its database.
    """
    with ctx_state.use(State()):
        readings().keep(NEED, need)
        hosts = list(inventory())
        stack = current_run().stack
        return stack, reached(stack, hosts)


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
def inventory_file() -> str:
    """The inventory of this run, as it was typed."""
    return current_run().invocation.inventory


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
    for text in cluster.warnings:
        logger.warning(text)
    servers = {backend.name: backend.servers for backend in cluster.backends}
    for frontend in cluster.frontends:
        if frontend.absent:
            left = ", ".join(s.name for s in servers[frontend.backend]) or "nobody"
            logger.warning(
                f"{frontend.name}: there is no {' nor '.join(frontend.absent)} now; "
                f"{left} serves it"
            )
