"""What happened to a system: runs, moves of the address and reloads, as nodes tell it.

``read`` asks the nodes; the rest is pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from portway.errors import PortwayError
from portway.load_balancers.remembered import Remembered, RememberedFacts, Said
from portway.model.runs import FAILED, GOING, GONE, SUCCEEDED, RunReport
from portway.model.stack import Node, Role
from portway.ops.remote import Question
from portway.ops.runs import RunsFacts
from portway.run.nodes import Nodes

MOVING = re.compile("moving [^ ]+ to this node")
CLOSE = 30.0
"""Seconds before a move in which what a node's check said is taken for its reason."""
RESULTS = (GOING, FAILED, GONE, SUCCEEDED)
"""The one that counts for a run first, if nodes know different ones."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    when: int
    """Seconds since 1970."""
    kind: str
    """``run``, ``move`` or ``reload``."""
    nodes: tuple[str, ...]
    who: str
    """Who ran what; empty for others."""
    text: str
    result: str
    """Of a run: ``succeeded``, ``failed``, ``broken off`` or ``going on``."""
    seconds: int | None
    """How long a run took; None if that is not known."""
    checkout: str
    changes: Mapping[str, tuple[str, ...]]
    """What a run changed, by node."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one node remembers."""

    node: str
    runs: tuple[RunReport, ...] = ()
    remembered: Remembered = field(default_factory=Remembered)


@dataclass(frozen=True, slots=True)
class History:
    """Events, the oldest first, and what keeps them from being all."""

    events: tuple[Event, ...]
    missing: tuple[str, ...]


def read(nodes: Nodes, since: float = 0) -> History:
    """What the nodes remember since a time."""

    def questions(node: Node) -> Sequence[Question]:
        runs: Question = (RunsFacts, {})
        if node.role is Role.LOAD_BALANCER:
            return runs, (RememberedFacts, {})
        return (runs,)

    told, missing = [], []
    if nodes.aws_problem:
        missing.append(
            "AWS could not be asked, so these are the nodes of "
            f"{nodes.stack_read_at:%Y-%m-%d %H:%M:%S} UTC: {nodes.aws_problem}"
        )
    for name, answer in nodes.ask(questions).items():
        if isinstance(answer, PortwayError):
            missing.append(answer.message)
        else:
            told.append(Told(name, *answer))
    kept = (event for event in events(told) if event.when >= since)
    return History(tuple(kept), tuple(missing))


def events(told: Sequence[Told]) -> tuple[Event, ...]:
    """What happened, the oldest first."""
    found = [*_runs(told), *_reloads(told), *_moves(told)]
    return tuple(sorted(found, key=lambda event: (event.when, event.kind)))


def _runs(told: Iterable[Told]) -> Iterator[Event]:
    same: dict[tuple[int, str, str], list[tuple[str, RunReport]]] = {}
    for node in told:
        for run in node.runs:
            # A lease says when the node gave it, which is a little later.
            who = run.who.partition(" (process ")[0]
            others = [k for k, of in same.items() if node.node not in dict(of)]
            key = _known(others, (run.began, who, run.what))
            same.setdefault(key, []).append((node.node, run))
    for (began, who, what), reports in same.items():
        first = min(reports, key=lambda r: RESULTS.index(_result(r[1])))[1]
        ended = max(run.ended for _, run in reports)
        yield Event(
            when=began,
            kind="run",
            nodes=tuple(name for name, _ in reports),
            who=who,
            text=what,
            result=_result(first),
            seconds=ended - began if ended else None,
            checkout=str(first.checkout or ""),
            changes={
                name: (*run.changes, *([f"and {run.more} more"] if run.more else []))
                for name, run in reports
                if run.changes
            },
        )


Key = tuple[int, str, str]


def _known(same: Iterable[Key], key: Key) -> Key:
    """The key of the same run on another node, whose clock may differ a little."""
    began, *who = key
    near = [k for k in same if [*k[1:]] == who and abs(k[0] - began) <= CLOSE]
    return min(near, key=lambda k: abs(k[0] - began), default=key)


def _result(run: RunReport) -> str:
    return run.result if run.result in RESULTS else FAILED


def _reloads(told: Iterable[Told]) -> Iterator[Event]:
    for node in told:
        for reload in node.remembered.reloads:
            text = f"HAProxy reloaded ({reload.kind}): {reload.reason}"
            yield _event(reload.when, "reload", node.node, text)


def _moves(told: Sequence[Told]) -> Iterator[Event]:
    for node in told:
        others = [other for other in told if other is not node]
        begun: Said | None = None
        for said in node.remembered.said:
            if said.unit != "portway-address":
                continue
            begins = MOVING.fullmatch(said.text)
            arrived = said.text.endswith("points to this node")
            if begun is not None and (begins or arrived):
                yield _move(node, others, begun, arrived=arrived)
                begun = None
            if begins:
                begun = said
            elif "still points to this backup" in said.text:
                yield _event(int(said.when), "move", node.node, said.text)
        if begun is not None:
            yield _move(node, others, begun, arrived=False)


def _move(node: Told, others: Iterable[Told], begun: Said, *, arrived: bool) -> Event:
    """A move; one that did not arrive was refused, or AWS has yet to make it."""
    address = begun.text.split(" ")[1]
    why = _why(node, others, begun)
    if arrived:
        text = f"{address} moved here, because {why}"
    else:
        text = f"{address} was to move here, because {why}; it has not arrived"
    return _event(int(begun.when), "move", node.node, text)


def _why(node: Told, others: Iterable[Told], move: Said) -> str:
    """Why the address was moved, as far as the logs tell."""
    own = _last(node.remembered.said, move.when, "portway-address", "VRRP: ")
    why = "the address was not here"
    if own is not None and move.when - own.when <= CLOSE:
        why = f"{node.node} became VRRP master"
    for other in others:
        check = _last(other.remembered.said, move.when, "portway-check", "")
        late = check is None or move.when - check.when > CLOSE
        if check is not None and not late and check.text != "HAProxy serves":
            why += f"; {other.node}: {check.text}"
    return why


def _last(said: Iterable[Said], before: float, unit: str, start: str) -> Said | None:
    found = None
    for line in said:
        if line.when <= before and line.unit == unit and line.text.startswith(start):
            found = line
    return found


def _event(when: int, kind: str, node: str, text: str) -> Event:
    return Event(when, kind, (node,), "", text, "", None, "", {})
