"""The change of one application node: out of service, changed, healthy, back.

It runs inside pyinfra's execution, on the node of its turn.
"""

import shlex
import time

import gevent
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from portway.application_changes import Pending
from portway.application_facts import ApplicationHealth
from portway.balancing import drain, put_back
from portway.cluster import Cluster
from portway.errors import PortwayError
from portway.listeners import listeners
from portway.operations import write_script
from portway.releases import fetch_request, remove_request, switch_request
from portway.remote import run
from portway.render_application import INSTALLER, Application

TEST_SECONDS = 30
"""What a test message may take."""


def change_node(
    state: State,  # noqa: ARG001 - pyinfra's signature
    host: Host,
    cluster: Cluster,
    wanted: Application,
    todo: Pending,
) -> bool:
    """Change the node; False, with the reason told, if it is not as it should be."""
    node = wanted.instance
    try:
        if todo.restart:
            drain(cluster, node)
        try:
            _bring_up(host, cluster, wanted, todo)
        except PyinfraError:
            # What failed may have left the old version running well.
            if not health(host, cluster, wanted):
                put_back(cluster, node)
            raise
        if todo.restart or todo.put_back:
            put_back(cluster, node)
        if todo.remove or todo.leftovers:
            run(host, INSTALLER, remove_request(wanted.folder, todo.remove))
    except PyinfraError as error:
        text = f"{node.name} is not changed as it should be: {error}"
        host.log_styled(text, fg="red", log_func=logger.error)
        return False
    return True


def health(host: Host, cluster: Cluster, wanted: Application) -> tuple[str, ...]:
    """What is wrong with the application on a node; () if it serves."""
    found: tuple[str, ...] = host.get_fact(
        ApplicationHealth,
        unit=wanted.unit,
        address=wanted.instance.address,
        health_port=cluster.stack.ports.health,
        health_path=cluster.settings.health_path,
        ports=tuple(listener.port for listener in listeners(cluster, wanted.instance)),
    )
    return found


def _bring_up(host: Host, cluster: Cluster, wanted: Application, todo: Pending) -> None:
    """Make the changes and wait until the application serves."""
    for file in todo.files:
        run(host, write_script(file), file.content)
    if todo.fetch:
        request = fetch_request(wanted.folder, wanted.release, wanted.token)
        run(host, INSTALLER, request)
    if todo.switch:
        run(host, INSTALLER, switch_request(wanted.folder, wanted.release))
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
        f"systemctl restart {unit} || {{ {_journal(unit)} >&2; exit 1; }}"
    )


def _journal(unit: str) -> str:
    return f"journalctl -q --no-pager -o cat -n 10 -u {unit}"


def _wait_until_healthy(host: Host, cluster: Cluster, wanted: Application) -> None:
    deadline = time.monotonic() + cluster.settings.app_start_timeout
    while wrong := health(host, cluster, wanted):
        if time.monotonic() >= deadline:
            said = "\n    ".join(run(host, _journal(wanted.unit)))
            raise PortwayError(
                f"{wanted.unit} {wanted.release.version} is not healthy within "
                f"{cluster.settings.app_start_timeout} s of its start: "
                f"{'; '.join(wrong)}; it said last:\n    {said}"
            )
        gevent.sleep(1)


def _try_message(host: Host, cluster: Cluster, wanted: Application) -> None:
    """Send a test message, if there is a command that does."""
    command = cluster.settings.app_test_command
    ports = [i.port for i in listeners(cluster, wanted.instance) if i.mode == "tcp"]
    if command is None or not ports:
        return
    program = f"{wanted.folder}/current/{command.replace('{port}', str(ports[0]))}"
    try:
        run(host, f"timeout {TEST_SECONDS} sh -c {shlex.quote(program)}")
    except PortwayError as error:
        raise PortwayError(f"its test message failed: {error}") from error
