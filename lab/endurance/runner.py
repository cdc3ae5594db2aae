"""Makes the changes, one after the other, while streams are held and all is watched."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from lab.endurance import operator
from lab.endurance.client_changes import STAY, Edit, edits
from lab.endurance.customers import Customers
from lab.endurance.membership import Group
from lab.endurance.node_changes import OTHER, Step, steps
from lab.endurance.records import CLIENTS, NODES, Change, Endurance, Settings
from lab.endurance.watching import Watch
from lab.errors import LabError
from lab.failover.pair import Pair
from lab.faults import interface as faults
from lab.faults.rules import EVERYTHING
from lab.ground.progress import say, step
from lab.lifecycle.up import up
from lab.plan import facts
from lab.plan.names import Lab
from lab.traffic.load import not_stored
from lab.traffic.streams import Stream

T = TypeVar("T")

DRAIN_TIMEOUT = 2
RETIRE_AFTER = 10
"""Seconds, as the run deploys them: less than the defaults, for it waits for them."""
PERMANENT, MOVING = 0.9, 0.1
"""Shares of the streams: those that stay where they are, and those that hang up and
connect again when a node has come, so that it has some when it goes."""
PAUSE, MOVING_PAUSE, PROBE_PAUSE = 5.0, 1.0, 0.05
SLOW = 18.0
"""Seconds over a message: longer than ``RETIRE_AFTER``, shorter than the application's
own patience."""
HELD_FOR = 5
"""Changes of clients through which each of their streams is held."""
SERVED_SECONDS = 10.0
"""The longest that anyone waits for a node that came to serve."""
PORTS = (9001, 9002)
AWAY = 5.0
"""Milliseconds, each way, to the customer: none is inside AWS, and what is next to
HAProxy asks, is answered and says so within one tick of its kernel."""
RELOADS = "app_reload_command=kill -HUP $MAINPID"

NODE_SHARE = 0.6
"""The part of the time that changes of nodes may take."""

Report = Callable[[Change], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What a run is to do."""

    node_changes: int
    client_changes: int
    streams: int
    minutes: float
    """After so many it makes no further change."""


@dataclass(slots=True)
class Endured:
    """A run while it lasts."""

    lab: Lab
    group: Group
    watch: Watch
    customers: Customers
    found: Endurance
    report: Report
    clients: tuple[dict[str, object], ...] = STAY
    open: list[str] = field(default_factory=list)
    """Names of the streams that are held through changes of clients."""

    def deploy(self, what: str, *options: str) -> str:
        """Run a deploy with this run's settings."""
        file = operator.clients_file(self.lab)
        file.write_text(json.dumps({"clients": self.clients}))
        data = (
            f"clients_file={file}",
            RELOADS,
            f"drain_timeout={DRAIN_TIMEOUT}",
            f"retire_after={RETIRE_AFTER}",
        )
        given = [word for item in data for word in ("--data", item)]
        return operator.deploy(self.lab, what, *given, *options)


def run(lab: Lab, task: Task, report: Report) -> Endurance:
    """Make changes in a lab with four application nodes.

    LabError only if the lab is not fit to begin with.
    """
    pair = Pair(lab)
    holder = pair.holder()
    if holder is None:
        holder = pair.master_of_record()
    group = Group(lab)
    asked = {NODES: task.node_changes, CLIENTS: task.client_changes}
    settings = Settings(
        DRAIN_TIMEOUT, RETIRE_AFTER, holder, task.streams, asked, task.minutes
    )
    found = Endurance(settings)
    began = time.monotonic()
    watch = Watch(lab, tuple(sorted(pair.hosts)))
    with _away(lab), Customers(lab, pair.address.address) as customers:
        endured = Endured(lab, group, watch, customers, found, report)
        _prepare(endured)
        found.began = time.time()
        with watch.watching():
            _hold(endured, task.streams)
            watch.look()
            share = NODE_SHARE if task.client_changes else 1
            for part in _until(
                began + 60 * share * task.minutes, steps(task.node_changes)
            ):
                _change_nodes(endured, part)
            watch.look()
            changes = enumerate(edits(task.client_changes))
            for number, edit in _until(began + 60 * task.minutes, changes):
                _change_clients(endured, number, edit)
            if task.client_changes:
                _let_retire(endured)
            watch.look()
        found.ended = time.time()
        held = customers.stop()
    found.looks, found.drains = watch.looks, watch.drains
    found.streams = held.streams
    ids = {answer.id for answer in held.answers}
    found.acknowledged, found.lost = len(ids), sorted(not_stored(lab, ids))
    _explain(lab, watch.nodes, found)
    return found


@contextmanager
def _away(lab: Lab) -> Iterator[None]:
    """The customer is where customers are."""
    faults.delay(lab, facts.CUSTOMERS[0].thing, EVERYTHING, AWAY)
    try:
        yield
    finally:
        faults.heal_links(lab)


def _until(deadline: float, things: Iterable[T]) -> Iterator[T]:
    """Things one after the other, for as long as there is time."""
    for thing in things:
        if time.monotonic() > deadline:
            return
        yield thing


def _prepare(endured: Endured) -> None:
    """Deploy all, and take the first of those out that come and go."""
    endured.group.loosen()
    operator.forget_names(endured.lab)
    with step("deploying to all nodes"):
        endured.deploy("site")
    endured.found.addresses |= operator.called(endured.lab)
    endured.group.detach(endured.group.members()[OTHER])
    endured.deploy("lb")


def _hold(endured: Endured, count: int) -> None:
    names = [f"stays-{n}" for n in range(round(count * PERMANENT))]
    for number, name in enumerate(names):
        endured.customers.open(name, PORTS[number % 2], "busy", PAUSE)
    moving = _moving(count)
    for name in moving:
        endured.customers.open(name, PORTS[0], "busy", MOVING_PAUSE)
    endured.customers.wait_until_answered({*names, *moving})
    say(f"{count} streams are open")


def _moving(count: int) -> list[str]:
    return [f"moves-{n}" for n in range(count - round(count * PERMANENT))]


def _change_nodes(endured: Endured, wanted: Step) -> None:
    """One change of nodes, the run that carries it out, and the first message."""
    if wanted.launches:
        _launched(endured)
    by_machine = {
        machine: member.address for machine, member in endured.group.members().items()
    }
    called = {address: name for name, address in endured.found.addresses.items()}
    wanted.make(endured.group)
    change = Change(
        NODES,
        wanted.what,
        time.time(),
        comes=tuple(called[by_machine[machine]] for machine in wanted.comes),
        goes=tuple(called[by_machine[machine]] for machine in wanted.goes),
        dies=wanted.dies,
    )
    if change.comes:
        endured.customers.open("probe", PORTS[0], "probe", PROBE_PAUSE)
    text = _carry_out(endured, change, "lb")
    if "reload:" in text.replace("no reload:", ""):
        change.problem = change.problem or "the run reloaded HAProxy"
    if change.comes:
        change.served = _served(endured, change)
        endured.customers.close("probe")
        for name in _moving(endured.found.settings.streams):
            endured.customers.close(name)
            endured.customers.open(name, PORTS[0], "busy", MOVING_PAUSE)
    addresses = {by_machine[machine] for machine in wanted.comes}
    for at, node, address in endured.watch.ready:
        if address in addresses and at >= change.began:
            change.stages.setdefault(node, at)
    if wanted.dies:
        up(endured.lab)  # its host goes
        operator.forget_names(endured.lab)
    endured.report(change)


def _launched(endured: Endured) -> None:
    """Have a new host boot and get the application."""
    name = endured.group.next_name()
    endured.group.launch()
    up(endured.lab)
    operator.forget_names(endured.lab)
    endured.deploy("app", "--limit", name)
    endured.found.addresses |= operator.called(endured.lab)


def _carry_out(endured: Endured, change: Change, what: str) -> str:
    """Run a deploy; what it printed, or nothing if it failed."""
    text = ""
    try:
        text = endured.deploy(what)
    except LabError as error:
        change.problem = str(error)
    change.ended = time.time()
    change.answered = operator.answered(endured.lab, change.began)
    endured.found.changes.append(change)
    return text


def _served(endured: Endured, change: Change) -> float:
    """When all nodes that came had acknowledged a message; 0 if one does not."""
    deadline = time.time() + SERVED_SECONDS
    while time.time() < deadline:
        firsts: dict[str, float] = {}
        for answer in reversed(endured.customers.streams.answers):
            if answer.at < change.answered:
                break
            firsts[answer.node] = answer.at
        if firsts.keys() >= set(change.comes):
            return max(firsts[node] for node in change.comes)
        time.sleep(0.1)
    return 0.0


def _change_clients(endured: Endured, number: int, edit: Edit) -> None:
    """One change of clients, with new streams held through it."""
    customers = endured.customers
    held, idle, slow = (f"{kind}-{number}" for kind in ("held", "idle", "slow"))
    customers.open(held, PORTS[0], "busy", 2.0)
    customers.open(idle, PORTS[1], "idle", 0.0)
    customers.open(slow, PORTS[1], "slow", SLOW)
    customers.wait_until_answered({held, idle})
    endured.clients = edit.clients
    change = Change(CLIENTS, f"late: {edit.what}", time.time())
    _carry_out(endured, change, edit.deploy)
    endured.watch.look()
    endured.open += [held, slow]
    while len(endured.open) > 2 * HELD_FOR:
        customers.close(endured.open.pop(0))
    endured.report(change)


def _let_retire(endured: Endured) -> None:
    """Wait for the last streams that idle in older processes to be closed."""
    with step("waiting for idle streams to be closed"):
        deadline = time.time() + RETIRE_AFTER + SERVED_SECONDS
        while time.time() < deadline and any(_idles(endured.customers.streams.streams)):
            time.sleep(0.5)


def _idles(streams: Iterable[Stream]) -> Iterable[bool]:
    return (s.client.startswith("idle-") and not s.ended for s in streams)


def _explain(lab: Lab, nodes: tuple[str, ...], found: Endurance) -> None:
    """Say of each stream that was cut what HAProxy's log says."""
    by_port: dict[int, list[tuple[float, str]]] = {}
    for at, port, why in operator.endings(lab, nodes, found.began):
        by_port.setdefault(port, []).append((at, why))
    for stream in found.streams:
        if stream.was_cut:
            near = [
                (abs(at - stream.ended), why)
                for at, why in by_port.get(stream.port, [])
                if abs(at - stream.ended) < 5
            ]
            stream.reason = min(near)[1] if near else "HAProxy's log has no line"
