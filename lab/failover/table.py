"""Outcomes as tables: for a terminal as they come, and for a document. Pure."""

import re
from collections.abc import Iterable, Iterator

from lab.failover.outcome import Outcome

START, END = "<!-- failover -->", "<!-- end of failover -->"
PICTURE = "failover.svg"
"""Beside the document that shows it."""

_WIDTHS = (26, 7, 7, 7, 6, 5, 5, 7, 7, 8, 8)
_HEADS = (
    "scenario",
    "min",
    "median",
    "max",
    "bound",
    "lost",
    "moves",
    "detect",
    "API",
    "restored",
    "recovery",
)

LEGEND = (
    "Seconds. Outage: the longest time that any of {clients} clients was without an "
    "acknowledgement, beyond the usual pause (minimum, median and maximum over {runs} "
    "runs). The rest is of the worst run. Detect: from the fault to the first call "
    "that moves the address; API: from that call to AWS's answer. Restored: from the "
    "end of a cause that takes the service away until every client is served. "
    "Recovery: from the fault being healed until everything is as before."
)


def head() -> str:
    """The heading of the terminal's table."""
    return _padded(_HEADS) + "  verdict"


def row(outcome: Outcome) -> str:
    """One outcome, and below it why it did not pass."""
    verdict = "PASS" if outcome.passed else "FAIL"
    lines = [f"{_padded(_cells(outcome))}  {verdict}"]
    return "\n".join([*lines, *(f"    {reason}" for reason in outcome.problems)])


def summary(outcomes: list[Outcome]) -> str:
    """How many passed, and which did not."""
    failed = [o.name for o in outcomes if not o.passed]
    text = f"{len(outcomes) - len(failed)} of {len(outcomes)} scenarios passed"
    return f"{text}; failed: {', '.join(failed)}" if failed else text


def markdown(outcomes: Iterable[Outcome]) -> str:
    """The outcomes as the document shows them: one table for each kind of address."""
    by_kind: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_kind.setdefault(outcome.kind, []).append(outcome)
    clients = max(
        (len(o.outages) for all_ in by_kind.values() for o in all_), default=0
    )
    runs = max((len(o.runs) or 1 for all_ in by_kind.values() for o in all_), default=1)
    parts = [_section(kind, found) for kind, found in by_kind.items()]
    picture = f"![What clients saw of each scenario]({PICTURE})"
    return "\n\n".join([*parts, LEGEND.format(clients=clients, runs=runs), picture])


def _section(kind: str, outcomes: list[Outcome]) -> str:
    heads = ("scenario", "what happens", *_HEADS[1:], "")
    lines = [
        f"Address of kind `{kind}`:",
        "",
        f"| {' | '.join(heads)} |",
        f"| --- | --- |{' ---: |' * (len(_HEADS) - 1)} --- |",
    ]
    for outcome in outcomes:
        name, *figures = _cells(outcome)
        verdict = "pass" if outcome.passed else "**fail**"
        cells = (name, outcome.description, *figures, verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def updated(text: str, outcomes: Iterable[Outcome]) -> str:
    """The text with everything between the marks replaced.

    Raises ValueError if a mark is missing.
    """
    if START not in text or END not in text:
        raise ValueError(f"the marks {START} and {END} are missing")
    pattern = re.escape(START) + ".*?" + re.escape(END)
    marked = f"{START}\n{markdown(outcomes)}\n{END}"
    return re.sub(pattern, lambda _: marked, text, flags=re.DOTALL)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    bound = "-" if outcome.bound is None else f"< {outcome.bound:g}"
    return (
        outcome.name,
        *(f"{seconds:.2f}" for seconds in outcome.over_runs),
        bound,
        str(outcome.lost),
        str(len(outcome.moves)),
        _seconds(outcome.detection),
        _seconds(outcome.api),
        _seconds(outcome.restored if outcome.restored_bound is not None else None),
        _seconds(outcome.recovery),
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _padded(cells: Iterable[str]) -> str:
    def padded() -> Iterator[str]:
        for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True)):
            yield cell.rjust(width) if number else cell.ljust(width)

    return "  ".join(padded())
