"""What is done to the application nodes, in the words of the job."""

from collections.abc import Generator
from pathlib import Path

from gevent.lock import RLock
from pydantic import SecretStr
from pyinfra import host, state
from pyinfra.api import FunctionCommand, StringCommand, operation

from portway import aws
from portway.application_changes import Pending, pending
from portway.application_facts import Balancing, ReleaseFacts
from portway.artifactory import find_release
from portway.balancing import ask_load_balancers, is_drained, serves
from portway.cluster import Cluster
from portway.database_session import Login
from portway.databases import read_application_login
from portway.errors import PortwayError
from portway.operations import forget_node, read_node, show_difference
from portway.releases import FoundReleases, fetch_request, is_fetched
from portway.render_application import INSTALLER, Application, Inputs, application
from portway.rolling import change_node
from portway.settings import SOURCE
from portway.stack import Node, Role

Commands = Generator[StringCommand | FunctionCommand, None, None]

_lock = RLock()
_inputs: dict[int, Inputs] = {}
"""By the Cluster's identity; here and not in host data, because it holds secrets."""
_releases: dict[tuple[str, bool], FoundReleases] = {}
_balancing: dict[bool, dict[str, Balancing]] = {}


def application_node(cluster: Cluster) -> Node | None:
    """The current host as an application node; None if it is something else."""
    nodes = {node.name: node for node in cluster.stack.with_role(Role.APPLICATION)}
    return nodes.get(host.name)


def wanted_application(cluster: Cluster, node: Node) -> Application:
    """What a node should be.

    Refused before anything is touched if settings, secrets or Artifactory do not allow
    it.
    """
    with _lock:  # every node of the run comes here at once
        if id(cluster) not in _inputs:
            _inputs[id(cluster)] = _read_inputs(cluster)
    return application(cluster, node, _inputs[id(cluster)])


def batches(cluster: Cluster) -> tuple[tuple[str, ...], ...]:
    """The names of the nodes to change together, in the order of their turns.

    Nodes that serve no one come first and all at once: those of a new stack, new ones,
    broken ones. The others are changed ``app_batch`` at a time, the elder first.
    """
    nodes = cluster.stack.with_role(Role.APPLICATION)
    found = _ask_once(cluster)
    idle = tuple(node.name for node in nodes if not serves(found, node))
    serving = [node.name for node in nodes if node.name not in idle]
    size = cluster.settings.app_batch
    turns = [tuple(serving[i : i + size]) for i in range(0, len(serving), size)]
    return tuple(turn for turn in (idle, *turns) if turn)


@operation()
def fetch_release(wanted: Application) -> Commands:
    """Have the node download, verify and unpack the release beside the others.

    Another archive of the version that runs would change the files under the process;
    it is fetched when the node is out of service.
    """
    found = _read_releases(wanted)
    if is_fetched(wanted.release, found) or found.current == wanted.release.version:
        host.noop(f"release {wanted.release.version} is there")
        return
    request = fetch_request(wanted.folder, wanted.release, wanted.token)
    yield StringCommand(INSTALLER, _stdin=request)
    _forget()


@operation()
def change_application(cluster: Cluster, wanted: Application) -> Commands:
    """Make the node run what it should, out of service meanwhile if it must restart."""
    todo = _pending(cluster, wanted)
    if not todo:
        host.noop(f"{wanted.unit} runs as it should")
        return
    for file in todo.files:
        show_difference(file)
    yield FunctionCommand(change_node, (cluster, wanted, todo), {})
    _forget()


def _pending(cluster: Cluster, wanted: Application) -> Pending:
    return pending(
        wanted,
        read_node(wanted.node),
        _read_releases(wanted),
        keep=cluster.settings.keep_releases,
        drained=is_drained(_ask_once(cluster), wanted.instance),
    )


def _read_inputs(cluster: Cluster) -> Inputs:
    """What is needed from outside, which is the same for every node."""
    token = _read_token(cluster)
    return Inputs(
        release=find_release(cluster.settings, token),
        login=_read_login(cluster),
        authority=_read_authority(cluster.settings.database_ca_file),
        token=token,
    )


def _read_token(cluster: Cluster) -> SecretStr | None:
    secret = cluster.settings.artifactory_token_secret
    if secret is None:
        return None
    token = aws.read_secret(cluster.stack.region, secret).get("token", "")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise PortwayError(
            f'secret {secret}: it has no usable "token"; put Artifactory\'s access '
            "token in, without spaces"
        )
    return SecretStr(token)


def _read_login(cluster: Cluster) -> Login:
    secret = cluster.stack.database.application_secret
    login = read_application_login(cluster.stack.region, secret)
    password = login.password.get_secret_value()
    if password != password.strip():
        raise PortwayError(
            f'secret {secret}: "password" begins or ends with a space, which the '
            "application's configuration file cannot hold; rotate it"
        )
    return login


def _read_authority(file: str | None) -> str:
    if file is None:
        raise PortwayError(
            f"{SOURCE}: database_ca_file is not set, so the application could not "
            "verify its database; set it to the file with its authorities, for RDS "
            "global-bundle.pem"
        )
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PortwayError(
            f"{SOURCE}: database_ca_file: {file} cannot be read: {error}"
        ) from error


def _executing_after_question() -> bool:
    """Whether people were asked meanwhile, so that what was read is read again."""
    return bool(state.is_executing and state.check_for_changes)


def _read_releases(wanted: Application) -> FoundReleases:
    key = host.name, _executing_after_question()
    if key not in _releases:
        _releases[key] = host.get_fact(ReleaseFacts, folder=wanted.folder)
    return _releases[key]


def _ask_once(cluster: Cluster) -> dict[str, Balancing]:
    key = _executing_after_question()
    with _lock:
        if key not in _balancing:
            _balancing[key] = ask_load_balancers(cluster)
    return _balancing[key]


def _forget() -> None:
    """Forget what the current host was like before it was changed."""
    forget_node()
    for key in [key for key in _releases if key[0] == host.name]:
        del _releases[key]
