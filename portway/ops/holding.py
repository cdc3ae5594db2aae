"""Holds the lease of a run on all of its nodes: takes, renews and releases it.

The lease is on every node of the inventory, those that ``--limit`` leaves out too: then
two runs of the same inventory always meet, whatever they are limited to. A node that
cannot be reached has none; it stops no run for that reason alone.

It is taken before anything is read that decides what will be changed: with ``-y`` while
pyinfra prepares the run, otherwise when people have confirmed it.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import gevent
from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State, StateStage

from portway.errors import PortwayError
from portway.ops import fence, lease
from portway.ops.findings import findings
from portway.ops.lease import Answer, Holder, Lease
from portway.ops.left import Left
from portway.ops.pyinfra_errors import as_portway_error, for_pyinfra
from portway.ops.remote import NotReached, run_without_lease

ANSWER_SECONDS = 10
"""What a node may take to answer; one that is frozen accepts connections, too."""
RELEASE_SECONDS = 10
TELL_EVERY = 10.0
"""Seconds between two lines of progress."""

T = TypeVar("T")
Records = Mapping[str, str]
"""What the last run deployed, by the name of the node; empty if nobody knows."""
Leaves = Callable[[bool, list[str]], tuple[str, str]]
"""By whether a run succeeded, and what it changed on a node: what was deployed, and the
report of the run; each is a line."""


class Holding(BaseStateCallback):
    """The lease of one run."""

    def __init__(
        self,
        state: State,
        wanted: Lease,
        patience: float,
        judge: Callable[[Records], None],
        leaves: Leaves,
    ) -> None:
        """``patience`` is how many seconds to wait for a run that is alive.

        ``judge`` refuses, with PortwayError, what the nodes say was deployed; it may be
        called twice. ``leaves`` says what to write on nodes that were worked on.
        """
        self._state, self._lease, self._patience = state, wanted, patience
        self._judge, self._leaves = judge, leaves
        self._held: dict[str, Host] = {}
        self._silent: set[str] = set()
        self._touched: set[str] = set()
        self._found: Records = {}
        self._deploys = False
        self._confirmed = 0.0
        self._refused: PortwayError | None = None
        self._findings = findings()
        self._lock, self._releasing = RLock(), RLock()
        self._renewing: gevent.Greenlet | None = None
        self._over = False
        fence.put_up(self._fenced)
        state.add_callback_handler(self)  # type: ignore[no-untyped-call]

    # What the run calls.

    def begin(self, *, deploys: bool) -> None:
        """Take the lease; before people have confirmed the run, only look.

        All hosts call it side by side, and a refusal is one for all of them. What was
        deployed matters only to a run that ``deploys``.
        """
        with self._lock:
            try:
                if self._refused is None:
                    self._begin(deploys)
            except PortwayError as error:
                self._refused = error
            if self._refused is not None:
                raise self._refused

    def _begin(self, deploys: bool) -> None:
        if not self._confirmed:
            self._look() if self._state.check_for_changes else self._take()
        if deploys and not self._deploys:
            self._deploys = True
            self._judge(self._found)

    # What pyinfra calls.

    @for_pyinfra
    def operation_start(self, state: State, op_hash: str) -> None:  # type: ignore[override]  # noqa: ARG002
        """Let no operation begin without the lease."""
        with self._lock:
            if not self._held:
                self._take()
                if self._deploys:
                    self._judge(self._found)
            elif time.time() - self._confirmed > self._lease.seconds / 3:
                self._renew()  # this machine slept, or was busy
            if self._refused is not None:
                raise self._refused

    def host_disconnect(self, state: State, host: Host) -> None:  # type: ignore[override]  # noqa: ARG002
        """End the lease on all nodes with the run, however that ends."""
        with self._releasing:  # pyinfra disconnects all hosts side by side
            if self._over:
                return
            self._over = True
            if self._renewing is not None:
                self._renewing.kill(block=False)
            with gevent.Timeout(RELEASE_SECONDS, False):
                _side_by_side(self._release, self._held.values())

    # The steps.

    def _fenced(self, name: str, script: str) -> str:
        if self._state.is_executing:
            self._touched.add(name)
        held = name in self._held
        return lease.fenced(self._lease, name, script) if held else script

    def _look(self) -> None:
        """Say who works on the nodes, and find out what was deployed."""
        answers = self._ask(self._nodes(), lease.look_script())
        for text in sorted({str(a.holder) for a in answers.values() if a.holder}):
            logger.warning(f"another run is going on: {text}")
            self._findings.states["", f"another run is going on: {text}"] = None
        self._note(answers)

    def _note(self, answers: Mapping[str, Answer]) -> None:
        """Remember what was deployed, and say which nodes somebody has suspended."""
        self._confirmed = time.time()
        self._found = {name: answer.deployed for name, answer in answers.items()}
        for name, answer in sorted(answers.items()):
            state = name, str(answer.suspended)
            if answer.suspended and state not in self._findings.states:
                logger.warning(f"{name} is {answer.suspended}")
                self._findings.states[state] = None

    def _take(self) -> None:
        """Take the lease on every node that can be reached, or on none."""
        began, told = time.monotonic(), -TELL_EVERY
        first: dict[tuple[str, str], int] = {}
        while refusal := self._try_all():
            name, holder = refusal
            was = first.setdefault((name, holder.id), holder.expires)
            waited = time.monotonic() - began
            if holder.expires != was and waited >= self._patience:
                raise PortwayError(
                    f"{name}: another run is going on: {holder}",
                    why="it is alive: it has just renewed its lease",
                    do="wait until it is over, or let this run wait for it: "
                    "--data lease_wait=600 (seconds)",
                )
            if waited - told >= TELL_EVERY:
                told = waited
                logger.warning(
                    f"{name}: waiting: {holder}; unless it renews its lease, "
                    f"that expires in {holder.left} s"
                )
            gevent.sleep(random.uniform(0.7, 1.3))  # noqa: S311 - two must not keep step
        self._renewing = gevent.spawn(self._keep_renewing)

    def _try_all(self) -> tuple[str, Holder] | None:
        """Try once; a node and who has it, if another run does."""
        nodes, answers = self._nodes(), dict[str, Answer]()
        while nodes and not answers:  # whoever gets the first one goes on
            answers |= self._take_of([nodes.pop(0)])
        if not any(answer.holder for answer in answers.values()):
            answers |= self._take_of(nodes)
        for name, answer in answers.items():
            if answer.holder is not None:
                _side_by_side(self._release, self._held.values())
                self._held.clear()
                return name, answer.holder
        if not self._held:
            raise PortwayError("no node of this run can be reached")
        self._note(answers)
        return None

    def _take_of(self, nodes: Iterable[Host]) -> dict[str, Answer]:
        answers = self._ask(nodes, lease.take_script(self._lease))
        for name, answer in answers.items():
            if answer.taken:
                self._held[name] = self._state.inventory.get_host(name)
            elif answer.holder is None:
                raise PortwayError(f"{name}: the lease could not be taken")
        return answers

    def _ask(self, nodes: Iterable[Host], script: str) -> dict[str, Answer]:
        """What the nodes say that answer; a warning, once, for each that does not."""

        def ask(node: Host) -> Answer | None:
            try:
                return lease.parse(_within(ANSWER_SECONDS, node, script))
            except NotReached as error:
                self._silent.add(node.name)
                logger.warning(f"{error.message}; this run has no lease there")
                return None

        found = _side_by_side(ask, nodes)
        return {name: answer for name, answer in found.items() if answer is not None}

    def _keep_renewing(self) -> None:
        while self._refused is None:
            gevent.sleep(self._lease.seconds / 3)
            self._renew()

    def _renew(self) -> None:
        """Make the lease last; what was lost stops the run before its next change."""
        began = time.time()
        script = lease.renew_script(self._lease)

        def renew(node: Host) -> list[str]:
            try:
                return _within(self._lease.seconds / 3, node, script)
            except PortwayError:  # whoever needs the node will notice
                return []

        found = _side_by_side(renew, list(self._held.values()))
        if lost := sorted(name for name, lines in found.items() if "lost" in lines):
            self._refused = PortwayError(
                f"this run may not change {', '.join(lost)} any more: {lease.LOST}",
                why="it did not renew the lease in time: was this machine asleep?",
                do="see what the other run did, then run this one again",
            )
        elif any("renewed" in lines for lines in found.values()):
            self._confirmed = began

    def _release(self, node: Host) -> None:
        """End the lease on a node, and leave there what was deployed."""
        ended = self._state.current_stage is StateStage.Disconnect
        active = ended and node in self._state.activated_hosts
        records = active or node.name in self._touched
        script = lease.release_script(self._lease, records=records)
        try:
            run_without_lease(
                node, script, self._left(node, ended) if records else None
            )
        except PortwayError as error:
            logger.debug(f"not released: {error.message}")

    def _left(self, node: Host, succeeded: bool) -> str:
        """What a run leaves on a node: what it deployed, its report, what it wanted."""
        record, report = self._leaves(succeeded, changes_of(self._state, node))
        if not self._deploys:
            return f"\n{report}\n"
        wanted = self._findings.wishes.get(node.name, {}) if succeeded else {}
        parts = (
            f"{part} {Left(record, wishes).to_json()}\n"
            for part, wishes in wanted.items()
        )
        return "".join((record, "\n", report, "\n", *parts))

    def _nodes(self) -> list[Host]:
        """The nodes of the inventory that answer, in the same order in every run."""
        nodes = (n for n in self._state.inventory if n.name not in self._silent)
        return sorted(nodes, key=lambda node: node.name)


def changes_of(state: State, node: Host) -> list[str]:
    """The names of the operations that have changed a node, in their order."""
    found = []
    for op_hash, data in state.ops[node].items():
        if data.operation_meta.is_complete() and data.operation_meta.did_change():
            # pyinfra puts the file of the deploy before it.
            names = (name.rpartition(" | ")[2] for name in state.op_meta[op_hash].names)
            found += sorted(names)[:1]
    return found


def _within(seconds: float, node: Host, script: str) -> list[str]:
    """Run a script on a node; NotReached if that takes longer."""
    with (
        as_portway_error(f"{node.name}: it does not answer", NotReached),
        gevent.Timeout(seconds, OSError(f"not within {seconds:.0f} s")),
    ):
        return run_without_lease(node, script)


def _side_by_side(work: Callable[[Host], T], nodes: Iterable[Host]) -> dict[str, T]:
    """Do something for several nodes at once; the results by their names."""

    def caught(node: Host) -> T | PortwayError:  # gevent prints what it gets to see
        try:
            return work(node)
        except PortwayError as error:
            return error

    started = {node.name: gevent.spawn(caught, node) for node in nodes}
    gevent.joinall(started.values())
    found: dict[str, T] = {}
    for name, greenlet in started.items():
        result = greenlet.get()
        if isinstance(result, PortwayError):
            raise result
        found[name] = result
    return found
