"""What a run says: its phases, its changes, what it waits for, and how it ended.

pyinfra has a line for each operation and node, most of which say that nothing was to
do. They are left out here, and with ``-v`` they are there.
"""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State

BEGIN = "--> Starting operation: "
RESULTS = "--> Results:"
NOTHING = re.compile(
    r" *\[.*\] +(No changes|Skipped|Connected( \(.*\))?|Ready: .*)|"
    "--> (Skipping change detection|Disconnecting from hosts...)"
)
STOPPED = re.compile(
    r"--> [A-Za-z ]*error( in (?P<file>.*?) line \d+)?: (?P<why>.*)", re.DOTALL
)
TOLD = re.compile(r"No hosts remaining!|Over [0-9.]+% of hosts failed.*")
"""What pyinfra raises when the reason has been told."""
PACKAGE = Path(__file__).parents[1]
PATIENCE = 1.0
"""Seconds after which an operation is named that has said nothing yet."""
MOST_NAMED = 6
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Narration(logging.Filter):
    """Leaves out what nobody needs to read, and adds how it ended."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state
        self._began = time.monotonic()
        self._held: logging.LogRecord | None = None
        self._timer: gevent.Greenlet | None = None
        self._in_table = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is shown; what it stands for may be shown before it."""
        text = _COLOURS.sub("", record.getMessage())
        if self._in_table and not text.startswith("-->"):
            return False
        self._in_table = False
        if text.startswith(BEGIN):
            self._hold(record)
            return False
        if NOTHING.fullmatch(text):
            return False
        if text.startswith("-->"):
            self._forget()
            self._rewrite(record, text)
        else:
            self._show_held()
        return True

    def _rewrite(self, record: logging.LogRecord, text: str) -> None:
        """Put how it ended in place of pyinfra's table, or of its way to say why."""
        if text.startswith(RESULTS):
            self._in_table = True
            status = 1 if self._state.failed_hosts else 0
            head = "--> Done"
        elif (stopped := STOPPED.fullmatch(text)) and _is_ours(stopped["file"]):
            known = TOLD.fullmatch(stopped["why"])
            why = "the reason is above" if known else stopped["why"]
            head, status = f"--> Stopped: {why}", 1
        else:
            return
        lines = self._nodes() if self._state.is_executing or self._in_table else ()
        took = f"{time.monotonic() - self._began:.1f} s"
        end = f"exit status {status}, after {took}"
        record.msg, record.args = "\n        ".join((head, *lines, end)), ()

    def _nodes(self) -> Iterator[str]:
        """A line for each node."""
        known = {*self._state.inventory.iter_activated_hosts()}
        hosts = sorted(known | self._state.failed_hosts, key=_by_name)
        width = max((len(host.name) for host in hosts), default=0)
        for host in hosts:
            yield f"{host.name:<{width}}  {self._done(host)}"

    def _done(self, host: Host) -> str:
        if host not in self._state.activated_hosts:
            return "could not be connected to"
        changed, failed = [], []
        for operation in self._state.get_op_order():  # type: ignore[no-untyped-call]
            if operation not in self._state.ops[host]:
                continue
            name = ", ".join(self._state.op_meta[operation].names).split(" | ")[-1]
            meta = self._state.ops[host][operation].operation_meta
            if not meta.is_complete():
                continue
            if not meta.did_succeed():
                failed.append(name)
            elif meta.did_change():
                changed.append(name)
        named = ", ".join(changed[:MOST_NAMED])
        more = f" and {len(changed) - MOST_NAMED} more" * (len(changed) > MOST_NAMED)
        said = [f"failed: {name}" for name in failed]
        if changed:
            plural = "s" * (len(changed) > 1)
            said.append(f"{len(changed)} change{plural}: {named}{more}")
        return "; ".join(said) or "no changes"

    def _hold(self, record: logging.LogRecord) -> None:
        self._forget()
        self._held = record
        self._timer = gevent.spawn_later(PATIENCE, self._show_held)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.kill(block=False)
        self._held = self._timer = None

    def _show_held(self) -> None:
        """Name the operation, now that there is something to say of it."""
        held = self._held
        self._forget()
        if held is not None:
            for handler in logger.handlers:
                handler.handle(held)


def _by_name(host: Host) -> str:
    return host.name


def _is_ours(file: str | None) -> bool:
    """Whether an error is told by Portway; else people need the file and line."""
    return file is None or PACKAGE in Path(file).parents


def narrate(state: State) -> None:
    """Have a run say what it does in this way, unless ``-v`` asks for everything."""
    if not state.print_noop_info:
        logger.addFilter(Narration(state))
