"""What is done to the application nodes, in the words of the job."""

from dataclasses import replace
from pathlib import Path

from pyinfra import host, inventory, logger, state

from portway.application.changes import still_used, to_serve
from portway.application.describing import (
    application_differences,
    application_wishes,
    release_differences,
)
from portway.application.draining import OnLoadBalancers, is_drained
from portway.application.facts import ApplicationFacts, UnusablePrograms
from portway.application.inputs import read_inputs
from portway.application.own_service import ByItself
from portway.application.pending import (
    FoundApplication,
    Pending,
    pending,
    reasons,
)
from portway.application.pulled import its_turn
from portway.application.rolling import change_node, health
from portway.application.trial_message import untried
from portway.application.turns import (
    Turns,
    announcements,
    in_batches,
    turns,
    what_happens,
)
from portway.contract.paths import INSTALLER
from portway.contract.release_requests import to_json
from portway.database.deploy import prepared_login, working_login
from portway.errors import GROUP_DATA, PortwayError
from portway.load_balancers.haproxy import Balancing, ask_load_balancers
from portway.model.cluster import Cluster
from portway.model.listeners import Listener
from portway.model.login import Login, both_logins
from portway.model.releases import is_fetched
from portway.model.stack import Node, Role
from portway.ops.connector import is_own
from portway.ops.describing import wishes
from portway.ops.differences import Difference
from portway.ops.fence import change, work
from portway.ops.findings import NODE, wish
from portway.ops.operations import file_differences, read_node
from portway.ops.pyinfra_errors import Commands, for_pyinfra, operation
from portway.ops.reading import (
    forget_host,
    once_per_host,
    once_per_run,
    once_per_stage,
)
from portway.ops.remote import ask, is_lost
from portway.render.application import (
    Application,
    Inputs,
    application,
    fetch_request,
)


@for_pyinfra
def application_node(cluster: Cluster) -> Node | None:
    """The current host as an application node; None if it is something else."""
    nodes = {node.name: node for node in cluster.stack.with_role(Role.APPLICATION)}
    return nodes.get(host.name)


@for_pyinfra
def wanted_application(
    cluster: Cluster, node: Node, *, with_load_balancers: bool
) -> Application:
    """What a node should have until the load balancers have switched.

    ``with_load_balancers`` says whether this run changes them, too, and the database
    before. Refused before anything is touched if settings, secrets, Artifactory, the
    database or what the load balancers use do not allow it.
    """
    loaded = _read_application(cluster.settings.app_name).loaded
    serve = to_serve(cluster, node, loaded, with_load_balancers=with_load_balancers)
    inputs = _inputs(cluster)

    def find_login() -> Login:
        if with_load_balancers:
            return prepared_login(cluster)
        return working_login(cluster, _likely_login(cluster, node, inputs, serve))

    login = once_per_run("application login", find_login)
    wanted = _application(cluster, node, replace(inputs, login=login), serve)
    if node.address not in read_node(wanted.node.survey).interfaces:
        raise PortwayError(
            f"{node.name}: no interface has its address {node.address}; is this the "
            "right node?",
            do=f"see which Host line of ~/.ssh/config matches {node.name}, "
            f"{node.instance_id} or {node.address}, and tunnel_command",
        )
    last = _application(cluster, node, wanted.inputs)  # once the others have switched
    wish(node.name, NODE, wishes(last.node) | application_wishes(last))
    return wanted


def _likely_login(
    cluster: Cluster, node: Node, inputs: Inputs, serve: tuple[Listener, ...]
) -> str | None:
    """The login that the node's configuration has with the password of the secret."""
    for login in both_logins(inputs.login):
        wanted = _application(cluster, node, replace(inputs, login=login), serve)
        file = read_node(wanted.node.survey).files.get(wanted.config.path)
        if file is not None and file.sha256 == wanted.config.sha256:
            return login.user
    return None


def _application(
    cluster: Cluster,
    node: Node,
    inputs: Inputs,
    serve: tuple[Listener, ...] | None = None,
) -> Application:
    """What a node should have; its name alone is no reason to restart anything.

    Where a former name is all that differs in the application's file, it stays until
    something else changes.
    """
    wanted = application(cluster, node, inputs, serve)
    file = read_node(wanted.node.survey).files.get(wanted.config.path)
    if file is None or file.sha256 == wanted.config.sha256:
        return wanted
    for name in node.former_names:
        called = replace(node, name=name)
        former = application(cluster, called, inputs, serve)
        if file.sha256 == former.config.sha256:
            return replace(former, instance=node)
    return wanted


def _inputs(cluster: Cluster) -> Inputs:
    return once_per_run(("inputs", cluster.settings), lambda: read_inputs(cluster))


@for_pyinfra
def batches(cluster: Cluster) -> Turns:
    """The names of the nodes to change together, in the order of their turns.

    Raises PortwayError if nobody would be left to serve.
    """
    if is_own(host):
        return ((host.name,),)
    nodes = cluster.stack.with_role(Role.APPLICATION)
    lost = {node.name for node in nodes if is_lost(node.name)}
    return turns(cluster, _ask_load_balancers(cluster), lost)


@for_pyinfra
def later_batches(cluster: Cluster) -> Turns:
    """The same once the load balancers have been changed: all nodes may serve then."""
    names = [node.name for node in cluster.stack.with_role(Role.APPLICATION)]
    return in_batches(names, cluster.settings.app_batch)


@for_pyinfra
def announce(cluster: Cluster, node: Node, wanted: Application) -> None:
    """Say how many nodes will be restarted or reloaded, and why.

    The last node that is looked at says it for all, before anything is touched.
    """
    found, process = read_node(wanted.node.survey), _read_application(wanted.unit)
    unit = found.services.get(wanted.unit)
    runs = unit is not None and unit.active
    todo = _pending(cluster, wanted)
    now = what_happens(todo, runs=runs)
    told: dict[str, list[tuple[str, str]]] = once_per_run("announced", dict)
    told[host.name] = [(now, "; ".join(reasons(wanted, found, process)))]
    tried: dict[str, tuple[Listener, ...]] = once_per_run("to be tried", dict)
    if todo.restart or todo.reload or todo.put_back:
        tried[host.name] = wanted.listeners
    left = len(wanted.listeners) - len(_last(cluster, node, wanted).listeners)
    if left:
        again = "reloaded" if wanted.can_reload else "drained and restarted"
        why = f"to close {left} unused port{'s' * (left > 1)}"
        told[host.name].append((f"{again} after the load balancers", why))
    names = {n.name for n in cluster.stack.with_role(Role.APPLICATION)}
    active = {member.name for member in inventory.get_active_hosts()} & names
    if told.keys() == active:
        for line in announcements(told):
            logger.info(f"    {line}")
        for line in untried(cluster.settings.app_test_command, tried):
            logger.warning(line)


@for_pyinfra
def look_for_programs(cluster: Cluster, wanted: Application) -> None:
    """Refuse commands that name what the release on the node cannot start.

    A release that is not there yet is judged when it is fetched.
    """
    if not is_fetched(wanted.release, _read_application(wanted.unit).releases):
        return
    todo = _pending(cluster, wanted)
    if not (todo.restart or todo.reload or todo.put_back):
        return
    release = f"{wanted.folder}/releases/{wanted.release.version}"
    programs = wanted.programs
    if found := ask(host, UnusablePrograms, release=release, programs=programs):
        raise PortwayError(
            f"{host.name}: release {wanted.release.version} has no executable "
            f"{' and no executable '.join(found)}",
            why=f"app_command or app_test_command in {GROUP_DATA} names it",
            do="correct the setting; what there is, on the node:\n"
            f"  ls -l {release}/{Path(found[0]).parent}",
        )


def _last(cluster: Cluster, node: Node, wanted: Application) -> Application:
    """What a node should have once the load balancers have switched.

    ``wanted`` is what it gets before that.
    """
    return _application(cluster, node, wanted.inputs)


@operation
def fetch_release(wanted: Application) -> Commands:
    """Have the node download, verify and unpack the release beside the others.

    Another archive of the running version would change the files under the process; it
    is fetched when the node is out of service, and only tried before.
    """
    found = _read_application(wanted.unit).releases
    if is_fetched(wanted.release, found):
        host.noop(f"the node has release {wanted.release.version}")
        return
    is_running = found.current == wanted.release.version
    request = replace(fetch_request(wanted), rehearse=is_running)
    differences = release_differences(wanted, _read_application(wanted.unit))
    yield from change(differences, str(INSTALLER), to_json(request))


@operation
def change_application(cluster: Cluster, wanted: Application) -> Commands:
    """Make the node run what it should, out of service if it must restart."""
    todo = _pending(cluster, wanted)
    if not todo:
        host.noop(f"{wanted.unit} is up to date")
        return
    yield work(
        _differences(cluster, wanted, todo),
        lambda: _change(cluster, wanted, todo),
    )
    forget_host()


def _change(cluster: Cluster, wanted: Application, todo: Pending) -> None:
    """Change the node; by itself, one that serves only when it has its turn."""
    found = _read_application(wanted.unit)
    if not is_own(host):
        service = OnLoadBalancers(cluster, wanted.instance, found.is_out)
        change_node(host, cluster, wanted, todo, service)
        return
    loaded = found.loaded.listeners if found.loaded else None
    ports = frozenset(i.port for i in (*wanted.listeners, *(loaded or ())))
    unit = read_node(wanted.node.survey).services.get(wanted.unit)
    runs = unit is not None and unit.active
    # A port that it is to open does not count yet.
    is_well = runs and not health(host, cluster, replace(wanted, listeners=()))
    itself = ByItself(cluster, wanted.instance, ports, runs, is_well)
    if is_well:  # a run that was killed may have left it out, and this one may wait
        itself.put_back()
    if not runs or not (todo.restart or todo.reload):
        change_node(host, cluster, wanted, todo, itself)
        return
    with its_turn(cluster, wanted) as turn:
        mine = replace(itself, may_begin=turn.must_be_ours, failed=turn.note_failure)
        change_node(host, cluster, wanted, todo, mine)


def _differences(
    cluster: Cluster, wanted: Application, todo: Pending
) -> tuple[Difference, ...]:
    """What a node is changed for."""
    found, balancing = read_node(wanted.node.survey), _ask_load_balancers(cluster)
    drained_on = [
        name
        for name, one in balancing.items()
        if is_drained({name: one}, wanted.instance)
    ]
    return (
        *file_differences(todo.files, found),
        *application_differences(
            wanted, todo, found, _read_application(wanted.unit), drained_on
        ),
    )


@operation
def close_unused(cluster: Cluster, node: Node, wanted: Application) -> Commands:
    """Close the ports that nobody uses once the load balancers have switched.

    ``wanted`` is what the node got before that.
    """
    last = _last(cluster, node, wanted)
    if last.record == wanted.record:
        host.noop("every port of the application is in use")
        return
    if state.is_executing and (used := still_used(cluster, node, wanted.listeners)):
        for listener in used:
            logger.warning(
                f"{host.print_prefix}port {listener.port} of the application stays "
                f"open: a load balancer still sends {listener.client} there"
            )
        host.noop("the load balancers use its ports")
        return
    forget_host()
    todo = _pending(cluster, last)
    unused = [i for i in wanted.listeners if i not in last.listeners]
    yield work(
        [
            Difference(
                "application",
                wanted.unit,
                f"port {listener.port} ({listener.client}) is open, and unused once "
                "the load balancers have switched",
            )
            for listener in unused
        ]
        or _differences(cluster, last, todo),
        lambda: _change(cluster, last, todo),
    )
    forget_host()


def _pending(cluster: Cluster, wanted: Application) -> Pending:
    return pending(
        wanted,
        read_node(wanted.node.survey),
        _read_application(wanted.unit),
        keep=cluster.settings.keep_releases,
        drained=is_drained(_ask_load_balancers(cluster), wanted.instance),
    )


def _read_application(app: str) -> FoundApplication:
    return once_per_host("application", lambda: ask(host, ApplicationFacts, app=app))


def _ask_load_balancers(cluster: Cluster) -> dict[str, Balancing]:
    if is_own(host):
        return {}  # a node that deploys to itself asks no other
    return once_per_stage("load balancers", lambda: ask_load_balancers(cluster))
