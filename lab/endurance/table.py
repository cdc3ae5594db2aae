"""A long run as tables: for a terminal as it goes on, and for a document. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

from lab.endurance.judgement import (
    SERVED_WITHIN,
    Cut,
    cuts,
    looks,
    nodes,
    problems,
    reloads,
)
from lab.endurance.records import CLIENTS, NODES, Change, Endurance

START, END = "<!-- endurance -->", "<!-- end of endurance -->"

Row = tuple[str, str, str]
"""What it is, what is promised, what was seen."""


def line(number: int, change: Change) -> str:
    """One change, for a terminal."""
    parts = [f"{number:>4}  {change.what:<40}  {change.ended - change.began:>5.1f} s"]
    if change.answered:
        for node, at in sorted(change.stages.items()):
            parts.append(f"{node} {at - change.answered:.2f} s")
    if change.seconds is not None:
        parts.append(f"served {change.seconds:.2f} s")
    if change.problem:
        parts.append(f"FAILED: {change.problem}")
    return "  ".join(parts)


def rows(run: Endurance) -> list[tuple[str, list[Row]]]:
    """The figures, by part."""
    parts = [
        (f"{len(run.of(NODES))} changes of application nodes", list(_of_nodes(run))),
        (f"{len(run.of(CLIENTS))} changes of clients", list(_of_clients(run))),
    ]
    found = [
        part for part, kind in zip(parts, (NODES, CLIENTS), strict=True) if run.of(kind)
    ]
    minutes = (run.ended - run.began) / 60
    whole: list[Row] = [
        ("messages acknowledged", "", f"{run.acknowledged:,} in {minutes:.0f} minutes"),
        ("acknowledged, and not in the database", "0", str(len(run.lost))),
    ]
    return [*found, ("Both", whole)]


def _of_nodes(run: Endurance) -> Iterator[Row]:
    made = run.of(NODES)
    kinds = Counter(
        "replaced" if c.comes and c.goes else "came" if c.comes else "went"
        for c in made
    )
    yield "of these", "", ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    yield "streams held", "", str(run.settings.streams)
    yield "reloads of HAProxy", "0", _by_node(run, lambda n: reloads(run, NODES, n))
    yield _processes(run, NODES, "1")
    yield from _memory(run, NODES)
    found = [cut for cut in cuts(run) if _is_within(run, NODES, cut.stream.ended)]
    gone = [cut for cut in found if cut.change]
    yield "streams of nodes that stay that were cut", "0", str(len(found) - len(gone))
    yield (
        f"streams closed when their node went, after {run.settings.drain_timeout:g} s",
        "",
        f"{len(gone)}{_reasons(gone)}",
    )
    seconds = [c.seconds for c in made if c.seconds is not None]
    yield "from AWS's answer to the first message", _bound(), _three(seconds)
    for node in nodes(run):
        role = "holder" if node == run.settings.holder else "standby"
        reached = [c.stages[node] - c.answered for c in made if node in c.stages]
        yield f"from AWS's answer until the {role} uses it", "", _three(reached)
    yield "a whole run of `lb.py`", "", _three([c.ended - c.began for c in made])


def _of_clients(run: Endurance) -> Iterator[Row]:
    made = run.of(CLIENTS)
    yield (
        "reloads of HAProxy",
        f"≤ {len(made)}",
        _by_node(run, lambda n: reloads(run, CLIENTS, n)),
    )
    yield _processes(run, CLIENTS, "1 and those with streams")
    yield from _memory(run, CLIENTS)
    found = [cut for cut in cuts(run) if _is_within(run, CLIENTS, cut.stream.ended)]
    retired = [cut for cut in found if cut.is_retired]
    yield (
        "streams closed by `retire_after`",
        "",
        f"{len(retired)}{_reasons(retired)}",
    )
    flying = sum(cut.stream.in_flight for cut in found)
    yield "of these with a message in flight", "0", str(flying)
    yield "streams cut by anything else", "0", str(len(found) - len(retired))


def _is_within(run: Endurance, part: str, at: float) -> bool:
    first = run.of(CLIENTS)[0].began if run.of(CLIENTS) else run.ended + 1
    return at < first if part == NODES else at >= first


def _processes(run: Endurance, kind: str, promised: str) -> Row:
    def most(node: str) -> int:
        return max((look.workers for look in looks(run, kind, node)), default=0)

    return "HAProxy processes, at most", promised, _by_node(run, most)


def _memory(run: Endurance, part: str) -> Iterator[Row]:
    def shown(node: str) -> str:
        found = [look.memory / 1024 for look in looks(run, part, node)]
        if not found:
            return "-"
        return f"{found[0]:.0f}, {max(found):.0f}, {found[-1]:.0f}"

    yield "MiB of all of them: first, most, last", "", _by_node(run, shown)
    most = max((k.largest for n in nodes(run) for k in looks(run, part, n)), default=0)
    yield "MiB of the largest", "", f"{most / 1024:.1f}"


def _by_node(run: Endurance, value: Callable[[str], object]) -> str:
    return "; ".join(f"{node} {value(node)}" for node in nodes(run))


def _reasons(found: Sequence[Cut]) -> str:
    counted = Counter(cut.stream.reason for cut in found)
    return "".join(f"; {count}: {why}" for why, count in counted.most_common())


def _bound() -> str:
    return f"{SERVED_WITHIN:g} s, the aim"


def _three(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{min(values):.2f} / {median(values):.2f} / {max(values):.2f} s"


def shown(run: Endurance) -> str:
    """All figures for a terminal, and what was not as promised."""
    lines: list[str] = []
    for head, found in rows(run):
        lines += ["", head]
        for what, promised, seen in found:
            lines.append(f"  {what:<62}  {promised:<12}  {seen}")
    wrong = problems(run)
    lines += ["", *(f"NOT AS PROMISED: {sentence}" for sentence in wrong)]
    return "\n".join(lines if wrong else [*lines, "All was as promised."])


def markdown(run: Endurance) -> str:
    """The figures as the document shows them."""
    parts = [_section(head, found) for head, found in rows(run)]
    wrong = "\n".join(f"- **Not as promised**: {text}" for text in problems(run))
    return "\n\n".join([*parts, wrong or "All was as promised."])


def _section(head: str, found: Iterable[Row]) -> str:
    lines = [f"| {head} | promised | seen |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in found]
    return "\n".join(lines)


def updated(text: str, run: Endurance) -> str:
    """The text with everything between the marks replaced.

    Raises ValueError if a mark is missing.
    """
    if START not in text or END not in text:
        raise ValueError(f"the marks {START} and {END} are missing")
    pattern = re.escape(START) + ".*?" + re.escape(END)
    marked = f"{START}\n{markdown(run)}\n{END}"
    return re.sub(pattern, lambda _: marked, text, flags=re.DOTALL)
