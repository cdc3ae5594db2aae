"""Changes one application node: out of service, changed, healthy, back.

It runs while pyinfra executes, on the node whose turn it is.
"""

import shlex
import time
from typing import Protocol

import gevent
from pyinfra.api.host import Host

from portway.application.facts import ApplicationHealth
from portway.application.pending import Pending
from portway.application.reloading import (
    WENT_BACK,
    forget_script,
    go_back_script,
    keep_script,
)
from portway.application.trial_message import trial_command
from portway.contract.paths import INSTALLER, LOADED_FOLDER
from portway.contract.release_requests import Remove, Request, Switch, to_json
from portway.errors import PortwayError
from portway.model.cluster import Cluster
from portway.ops.operations import (
    contents,
    write_script,
)
from portway.ops.remote import ask, run
from portway.ops.service_scripts import (
    journal,
    set_aside_script,
)
from portway.render.application import Application, fetch_request

TEST_SECONDS = 30
"""What a test message may take."""


class Service(Protocol):
    """How a node goes out of service and comes back."""

    def drain(self) -> None:
        """Take it out of service, and let its streams end."""

    def begin(self) -> None:
        """Called before it is changed; PortwayError if that must not be any more."""

    def note_failure(self) -> None:
        """Called when it does not serve with what it was given."""

    def put_back(self) -> None:
        """Put it back, and wait until the load balancers use it."""


def change_node(
    host: Host,
    cluster: Cluster,
    wanted: Application,
    todo: Pending,
    service: Service,
) -> None:
    """Change the node. Raises PortwayError, which names it, if that fails."""
    try:
        if todo.restart:
            service.drain()
        try:
            service.begin()
        except PortwayError:
            service.put_back()
            raise
        _make_changes(host, cluster, wanted, todo, service)
        if todo.restart or todo.reload or todo.put_back:
            _try_message(host, cluster, wanted, service, drained=todo.restart)
        if todo.reload:  # recorded when it works: if it does not, it goes again
            run(
                host,
                f"cat >{_record(wanted)} && {forget_script(wanted)}",
                wanted.record,
            )
        if todo.restart or todo.put_back:
            service.put_back()
        if todo.remove or todo.leftovers:
            _install(host, Remove(wanted.folder, todo.remove))
    except PortwayError as error:
        name = wanted.instance.name
        raise PortwayError(f"{name}: deploy failed: {error}") from error


def health(host: Host, cluster: Cluster, wanted: Application) -> tuple[str, ...]:
    """What is wrong with the application on a node; () if it serves."""
    return ask(
        host,
        ApplicationHealth,
        unit=wanted.unit,
        address=wanted.instance.address,
        check=cluster.health,
        ports=tuple(listener.port for listener in wanted.listeners),
    )


def _install(host: Host, request: Request) -> None:
    run(host, str(INSTALLER), to_json(request))


def _make_changes(
    host: Host,
    cluster: Cluster,
    wanted: Application,
    todo: Pending,
    service: Service,
) -> None:
    """Make the changes and wait until the application serves.

    A node that was drained and is healthy after a failure goes back into service: what
    served until now at once, what was started when it has taken a message.
    """
    is_prepared = False
    try:
        _prepare(host, wanted, todo)
        is_prepared = True
        _start(host, cluster, wanted, todo, service)
    except PortwayError as error:
        if todo.reload:
            raise _went_back(host, wanted, error) from error
        if todo.restart and not health(host, cluster, wanted):
            if is_prepared:
                _try_after(error, host, cluster, wanted, service)
            service.put_back()
        raise


def _prepare(host: Host, wanted: Application, todo: Pending) -> None:
    """Bring what the process is to be started from; the process goes on."""
    if todo.record:
        run(host, f"cat >>{_record(wanted)}", todo.record)
    if todo.reload:
        run(host, keep_script(wanted))
    if todo.files:
        run(host, write_script(*todo.files), contents(todo.files))
    if todo.fetch:
        _install(host, fetch_request(wanted))
    if todo.switch:
        _install(host, Switch(wanted.folder, wanted.release.version))


def _start(
    host: Host,
    cluster: Cluster,
    wanted: Application,
    todo: Pending,
    service: Service,
) -> None:
    """Have the process run from it, and wait until it serves."""
    try:
        if todo.settle or todo.restart or todo.reload:
            run(host, _service_script(wanted, todo))
        if todo.restart or todo.reload or todo.put_back:
            _wait_until_healthy(host, cluster, wanted, todo)
    except PortwayError:
        service.note_failure()
        raise


def _record(wanted: Application) -> str:
    """Where it is recorded what the running process has loaded."""
    return shlex.quote(str(LOADED_FOLDER / wanted.unit))


def _try_after(
    error: PortwayError,
    host: Host,
    cluster: Cluster,
    wanted: Application,
    service: Service,
) -> None:
    """Send a test message to a node that became healthy when that had failed."""
    try:
        _try_message(host, cluster, wanted, service, drained=True)
    except PortwayError as failed:
        raise PortwayError(
            f"{failed.what}\n    Before that: {error.what}",
            why=failed.why,
            do=failed.do,
        ) from failed


def _went_back(host: Host, wanted: Application, error: PortwayError) -> PortwayError:
    """The error of a failed reload, once the node has its previous configuration."""
    try:
        went_back = WENT_BACK in run(host, go_back_script(wanted))
    except PortwayError:
        went_back = False
    how = "with its previous configuration" if went_back else "as it is"
    return PortwayError(
        error.message,
        why=f"no stream was drained; {wanted.unit} goes on there {how}",
        do="fix the cause and run again, which reloads it again",
    )


def _service_script(wanted: Application, todo: Pending) -> str:
    unit = wanted.unit
    own = set_aside_script(todo.strange)
    settle = f"{own} && systemctl -q enable {unit}"
    failed = f"{{ {journal(unit)} >&2; exit 1; }}"
    if todo.restart:
        reset = f"systemctl reset-failed {unit} 2>/dev/null"
        restart = f"systemctl restart {unit} || {failed}\n{forget_script(wanted)}"
        return f"{settle} || exit 1\n{reset}\n{restart}"
    if todo.reload:
        return f"{settle} || exit 1\nsystemctl reload {unit} || {failed}"
    return settle


def _wait_until_healthy(
    host: Host, cluster: Cluster, wanted: Application, todo: Pending
) -> None:
    deadline = time.monotonic() + cluster.settings.app_start_timeout
    while wrong := health(host, cluster, wanted):
        if time.monotonic() >= deadline:
            said = "\n    ".join(run(host, journal(wanted.unit)))
            raise PortwayError(
                f"{wanted.unit} {wanted.release.version} is not healthy within "
                f"{cluster.settings.app_start_timeout} s of its "
                f"{'reload' if todo.reload else 'start'}: "
                f"{'; '.join(wrong)}; the end of its journal:\n    {said}"
            )
        gevent.sleep(1)


def _try_message(
    host: Host,
    cluster: Cluster,
    wanted: Application,
    service: Service,
    *,
    drained: bool,
) -> None:
    """Send a test message, if there is a command for it.

    A node that does not acknowledge it is stopped: a drain would not last longer than
    HAProxy's next reload.
    """
    program = trial_command(
        cluster.settings.app_test_command, wanted.listeners, wanted.folder
    )
    if program is None:
        return
    try:
        run(host, f"timeout {TEST_SECONDS} sh -c {shlex.quote(program)}")
    except PortwayError as error:
        service.note_failure()
        if not drained:
            _drain_failed(wanted, service, error)
        stop = f"systemctl -q disable --now {wanted.unit}"  # also over a reboot
        run(host, f"{stop} && {forget_script(wanted)}")
        raise PortwayError(
            f"its test message failed: {error}",
            why=f"{wanted.unit} was stopped there, so that it gets no clients",
            do="look at the end of its journal (often the database login fails), and "
            "run again, which starts it",
        ) from error


def _drain_failed(wanted: Application, service: Service, error: PortwayError) -> None:
    """Take a node out of service that acknowledges no message since its reload.

    PortwayError, with the message's failure too, if that cannot be.
    """
    try:
        service.drain()
    except PortwayError as refused:
        raise PortwayError(
            f"its test message failed: {error}",
            why=f"it still gets clients: {refused.what}",
            do=f"{refused.do}\nrun again, which reloads {wanted.unit} again".strip(),
        ) from error
