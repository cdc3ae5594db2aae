"""Looks at a system: what a run of some deploys would change, and who changed it.

It is a run that pyinfra prepares and never executes, so it finds the differences that a
run finds, in the same way. It takes no lease and changes nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import gevent
import pyinfra
from pyinfra.api.config import Config
from pyinfra.api.connect import disconnect_all
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from portway.errors import PortwayError
from portway.ops.connector import NodeConnector, is_about_keys
from portway.ops.differences import Difference
from portway.ops.findings import (
    Findings,
    Seen,
    findings,
    is_unknown,
    look_only,
    see,
)
from portway.ops.private_parts import go_on_after_failure_if
from portway.run import made
from portway.run.inventory import current_run
from portway.run.moved import (
    NOBODY_KNOWS,
    WORLD,
    YOU,
    Moved,
    left_on,
    ours_now,
    who_moved,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    node: str
    """Its name, ``database``, or empty for what is about the whole system."""
    kind: str
    thing: str
    what: str
    diff: tuple[str, ...]
    """Lines of a unified diff, or the statements that a run would execute."""
    since: int | None
    """In seconds since 1970, if that is known."""
    moved: Moved
    """``you``: clients, settings or the checkout changed since the last run that
    succeeded; ``world``: the node, the database or AWS did; ``unknown``."""
    mended_by_a_run: bool
    """Whether a run of these deploys would change it back."""


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about a node; its name is empty for the whole system."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a system has found."""

    stack: str
    deploys: tuple[str, ...]
    looked_at: int
    """In seconds since 1970."""
    seconds: float
    findings: tuple[Finding, ...]
    states: tuple[Note, ...]
    """What is so on purpose, and not for ever."""
    unknown: tuple[Note, ...]
    """What could not be found out."""


@dataclass(frozen=True, slots=True)
class Loaders:
    """How files are loaded: as pyinfra's command line does."""

    config: Callable[[], None]
    inventory: Callable[[], Inventory]
    deploy: Callable[[str], None]


def look(
    loaders: Loaders, deploys: tuple[str, ...], seconds: float, *, with_template: bool
) -> Look:
    """Look at the system of an inventory. PortwayError if AWS cannot be asked.

    What takes longer than so many ``seconds`` in all was not found out. Waiting for
    CloudFormation, which compares what it made ``with_template``, takes longest.
    """
    began = time.time()
    with _as_a_dry_run(deploys) as state:
        try:
            # Not as a TimeoutError: boto3 takes that for one of the network, and
            # tries again.
            with gevent.Timeout(seconds) as limit:
                _load_inventory(state, loaders)
                asked = made.ask() if with_template else None
                _connect(state)
                _prepare(state, loaders, deploys)
                if asked is None:
                    made.leave_out()
                else:
                    made.take_in(asked)
        except gevent.Timeout as late:
            if late is not limit:
                raise
            if not state.initialised:
                raise PortwayError(
                    f"AWS did not answer within {seconds:.0f} s"
                ) from None
            is_unknown("", f"not everything was looked at within {seconds:.0f} s")
            state.pool.kill(timeout=5)
        except PyinfraError as error:
            if not state.initialised:
                raise PortwayError(str(error)) from error
            is_unknown("", str(error))
        found = _judged(state, findings())
        kept = findings()
        _disconnect(state)
        return Look(
            current_run().stack.name,
            deploys,
            int(began),
            round(time.time() - began, 1),
            found,
            tuple(Note(*state) for state in kept.states),
            tuple(Note(*unknown) for unknown in kept.unknown),
        )


@contextmanager
def _as_a_dry_run(deploys: tuple[str, ...]) -> Iterator[State]:
    """A state for one look, with what ``portway.run.command_line`` reads of a run."""
    state = State(check_for_changes=True)
    state.cwd = str(Path.cwd())
    options = click.Context(click.Command("pyinfra"))
    options.params = {"operations": deploys, "dry": True}
    before, pyinfra.is_cli = pyinfra.is_cli, True
    try:
        with ctx_state.use(state), ctx_config.use(_config()), options:
            look_only()
            yield state
    finally:
        pyinfra.is_cli = before


def _config() -> Config:
    return Config()  # type: ignore[no-untyped-call]


def _load_inventory(state: State, loaders: Loaders) -> None:
    loaders.config()
    inventory = loaders.inventory()
    if not list(inventory):
        raise PortwayError(
            "there is no such inventory, or it has no nodes",
            do="run it in Portway's folder: portway drift inventories/prod.py",
        )
    ctx_inventory.set(inventory)  # type: ignore[no-untyped-call]
    state.init(inventory, ctx_config.get())  # type: ignore[no-untyped-call]
    go_on_after_failure_if(state, lambda _: True)


def _connect(state: State) -> None:
    """Connect to all nodes, and wait for none that boots."""
    state.set_stage(StateStage.Connect)
    hosts = list(state.inventory)

    def connect(host: Host) -> None:
        if isinstance(host.connector, NodeConnector):
            host.connector.waits = False
        try:
            host.connect(show_errors=False, raise_exceptions=True)
            state.activate_host(host)
        except Exception as error:  # whatever it is, the others are still looked at
            is_unknown(host.name, f"cannot be looked at: {error}")
            if isinstance(error, ConnectError) and is_about_keys(error):
                what = "is not the one on record, or there is none"
                see(host.name, "host key", "", what)

    gevent.joinall([state.pool.spawn(connect, host) for host in hosts])
    lost = {host for host in hosts if not host.connected}
    state.fail_hosts(lost, len(hosts))  # type: ignore[no-untyped-call]


def _prepare(state: State, loaders: Loaders, deploys: Iterable[str]) -> None:
    """Load each deploy for each node; where one cannot be, the others still are."""
    state.set_stage(StateStage.Prepare)

    def prepare(host: Host, deploy: str) -> None:
        config = state.config.copy()
        with ctx_state.use(state), ctx_config.use(config), ctx_host.use(host):
            try:
                loaders.deploy(deploy)
            except PyinfraError as error:
                is_unknown(host.name, str(error))
            except Exception as error:
                cause = getattr(error, "exception", error)  # pyinfra wraps it
                is_unknown(host.name, f"{deploy} failed: {cause!r}")

    for number, deploy in enumerate(deploys):
        state.current_deploy_filename = deploy
        state.current_op_file_number = number
        hosts = list(state.inventory.get_active_hosts())
        jobs = [state.pool.spawn(prepare, host, deploy) for host in hosts]
        gevent.joinall(jobs, raise_error=True)


def _disconnect(state: State) -> None:
    if state.initialised:
        with gevent.Timeout(10, False):
            disconnect_all(state)


def _judged(state: State, found: Findings) -> tuple[Finding, ...]:
    """Everything that was found, with who moved, in the order of the nodes."""
    hosts = {host.name: host for host in state.inventory}
    left = left_on(host for host in hosts.values() if host.connected)
    ours = ours_now(next(iter(hosts.values())))
    differing = {(node, d.kind, d.thing) for node, d in found.differences}
    rows = [
        *(
            _differing(n, one, who_moved(n, one, left, ours))
            for n, one in found.differences
        ),
        *(
            _seen(node, seen)
            for node, seen in found.seen
            if (node, seen.kind, seen.thing) not in differing
        ),
    ]
    return tuple(sorted(rows, key=lambda finding: finding.node))


def _differing(node: str, one: Difference, moved: Moved) -> Finding:
    return Finding(
        node=node,
        kind=one.kind,
        thing=one.thing,
        what=one.what,
        diff=one.diff,
        since=one.since,
        moved=moved,
        mended_by_a_run=True,
    )


def _seen(node: str, seen: Seen) -> Finding:
    moved = {"SQL file": YOU, "stack": NOBODY_KNOWS}.get(seen.kind, WORLD)
    what = seen.what
    return Finding(node, seen.kind, seen.thing, what, seen.diff, None, moved, False)
