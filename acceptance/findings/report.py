"""What a run found, as Markdown to paste into an issue. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from acceptance.findings.observing import Observation
from acceptance.findings.verdict import Verdict
from acceptance.plan.items import ITEMS
from acceptance.plan.prices import LOOKED_UP


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a run, ended."""

    name: str
    seconds: float
    ok: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report is made of."""

    facts: Mapping[str, str]
    """Versions, region, kind."""
    steps: Sequence[Step]
    observations: Sequence[Observation]
    not_seen: Sequence[str]
    """Keys of lines that this run should have observed and did not."""
    problems: Sequence[str]

    @property
    def is_as_expected(self) -> bool:
        """Whether nothing failed and AWS differs from no line of docs/aws.md."""
        return (
            not self.problems
            and all(step.ok for step in self.steps)
            and not any(o.verdict is Verdict.DIFFERS for o in self.observations)
        )


def written(report: Report) -> str:
    """A report in Markdown."""
    lines = ["# Portway's acceptance run on AWS", "", headline(report), ""]
    lines += _table(("", ""), list(report.facts.items()))
    lines += ["", "## Steps", ""]
    rows = [
        (s.name, f"{s.seconds:.0f}", "ok" if s.ok else "**failed**", s.text)
        for s in report.steps
    ]
    lines += _table(("step", "s", "result", "what was seen"), rows)
    lines += ["", "## What docs/aws.md relies on", ""]
    lines += _table(
        ("line", "seen", "what AWS answered", "s"),
        [
            (
                f"{ITEMS[o.item].begins} … (`{o.item}`)",
                o.verdict if o.verdict is not Verdict.DIFFERS else f"**{o.verdict}**",
                o.text,
                f"{o.seconds:.0f}",
            )
            for o in report.observations
        ],
    )
    lines += ["", "Not observed:", ""]
    lines += [
        f"- {item.begins} … (`{key}`): {_reason(key, report)}"
        for key, item in ITEMS.items()
        if key not in {o.item for o in report.observations}
    ]
    lines += ["", "## What failed", ""]
    lines += [f"```text\n{problem}\n```" for problem in report.problems] or ["Nothing."]
    lines += ["", f"Prices in the plan are list prices of {LOOKED_UP}, an estimate."]
    return "\n".join(lines) + "\n"


def headline(report: Report) -> str:
    """In a sentence or two: whether all was as expected, and what was not."""
    failed = [step.name for step in report.steps if not step.ok]
    differs = [o.item for o in report.observations if o.verdict is Verdict.DIFFERS]
    unclear = [o.item for o in report.observations if o.verdict is Verdict.UNCLEAR]
    found = []
    if failed:
        found.append(f"Failed: {', '.join(failed)}.")
    if differs:
        found.append(f"AWS differs from docs/aws.md: {', '.join(differs)}.")
    if report.problems and not failed:
        found.append("There were problems: see what failed.")
    if not found:
        found.append("All was as expected.")
    if unclear:
        lines = "1 line" if len(unclear) == 1 else f"{len(unclear)} lines"
        found.append(f"{lines} could not be judged: {', '.join(unclear)}.")
    return " ".join(found)


def as_json_lines(observations: Sequence[Observation]) -> str:
    """Observations with all that AWS answered, one call a line."""
    lines = []
    for seen in observations:
        common = {
            "item": seen.item,
            "verdict": seen.verdict,
            "text": seen.text,
            "seconds": seen.seconds,
        }
        answers = [asdict(answer) for answer in seen.answers] or [{}]
        lines += [json.dumps({**common, "answer": answer}) for answer in answers]
    return "".join(f"{line}\n" for line in lines)


def _reason(key: str, report: Report) -> str:
    item = ITEMS[key]
    if item.because:
        return f"cannot be, because {item.because}"
    if key in report.not_seen:
        return "the part of the run that shows it did not end well, or was left out"
    return "not with this kind of address, or not without a tunnel"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        _row(head),
        _row(["---"] * len(head)),
        *(_row(row) for row in rows),
    ]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
