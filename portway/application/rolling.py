"""Changes one application node: out of service, changed, healthy, back.

It runs while pyinfra executes, on the node whose turn it is.
"""

import shlex
import time

import gevent
from pyinfra.api.host import Host

from portway.application.draining import drain, put_back
from portway.application.facts import ApplicationHealth
from portway.application.pending import Pending
from portway.contract.paths import INSTALLER
from portway.contract.release_requests import Remove, Request, Switch, to_json
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.model.listeners import listeners
from portway.ops.operations import journal, write_script
from portway.ops.remote import ask, run
from portway.render.application import Application, fetch_request

TEST_SECONDS = 30
"""What a test message may take."""


def change_node(
    host: Host, cluster: Cluster, wanted: Application, todo: Pending
) -> None:
    """Change the node. Raises PortwayError, which names it, if that fails."""
    node = wanted.instance
    try:
        if todo.restart:
            drain(cluster, node)
        try:
            _bring_up(host, cluster, wanted, todo)
        except PortwayError:
            # The failure may have left the old version running well.
            if not health(host, cluster, wanted):
                put_back(cluster, node)
            raise
        if todo.restart or todo.put_back:
            put_back(cluster, node)
        if todo.remove or todo.leftovers:
            _install(host, Remove(wanted.folder, todo.remove))
    except PortwayError as error:
        raise PortwayError(f"{node.name}: deploy failed: {error}") from error


def health(host: Host, cluster: Cluster, wanted: Application) -> tuple[str, ...]:
    """What is wrong with the application on a node; () if it serves."""
    return ask(
        host,
        ApplicationHealth,
        unit=wanted.unit,
        address=wanted.instance.address,
        check=cluster.health,
        ports=tuple(listener.port for listener in listeners(cluster, wanted.instance)),
    )


def _install(host: Host, request: Request) -> None:
    run(host, str(INSTALLER), to_json(request))


def _bring_up(host: Host, cluster: Cluster, wanted: Application, todo: Pending) -> None:
    """Make the changes and wait until the application serves."""
    for file in todo.files:
        run(host, write_script(file), file.content)
    if todo.fetch:
        _install(host, fetch_request(wanted))
    if todo.switch:
        _install(host, Switch(wanted.folder, wanted.release.version))
    if todo.settle or todo.restart:
        run(host, _service_script(wanted.unit, todo))
    if todo.restart or todo.put_back:
        _wait_until_healthy(host, cluster, wanted)
        _try_message(host, cluster, wanted)


def _service_script(unit: str, todo: Pending) -> str:
    settle = f"systemctl daemon-reload && systemctl -q enable {unit}"
    if not todo.restart:
        return settle
    return (
        f"{settle} || exit 1\n"
        f"systemctl reset-failed {unit} 2>/dev/null\n"
        f"systemctl restart {unit} || {{ {journal(unit)} >&2; exit 1; }}"
    )


def _wait_until_healthy(host: Host, cluster: Cluster, wanted: Application) -> None:
    deadline = time.monotonic() + cluster.settings.app_start_timeout
    while wrong := health(host, cluster, wanted):
        if time.monotonic() >= deadline:
            said = "\n    ".join(run(host, journal(wanted.unit)))
            raise PortwayError(
                f"{wanted.unit} {wanted.release.version} is not healthy within "
                f"{cluster.settings.app_start_timeout} s of its start: "
                f"{'; '.join(wrong)}; the end of its journal:\n    {said}"
            )
        gevent.sleep(1)


def _try_message(host: Host, cluster: Cluster, wanted: Application) -> None:
    """Send a test message, if there is a command for it."""
    command = cluster.settings.app_test_command
    ports = [i.port for i in listeners(cluster, wanted.instance) if i.mode == "tcp"]
    if command is None or not ports:
        return
    program = f"{wanted.folder}/current/{command.replace('{port}', str(ports[0]))}"
    try:
        run(host, f"timeout {TEST_SECONDS} sh -c {shlex.quote(program)}")
    except PortwayError as error:
        raise PortwayError(
            f"its test message failed: {error}",
            do="look at the end of its journal; often the database login fails",
        ) from error
