"""What ``portway drift`` prints: for people, as JSON, for CI and for Prometheus."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import click
from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from portway.run.look import Finding, Look

SHOWN = 20
"""How many lines of a diff a table has."""


def schema() -> str:
    """The JSON schema of what ``--json`` prints, and of nothing else."""
    found = TypeAdapter(Look).json_schema()
    for shape in (found, *found["$defs"].values()):
        shape["additionalProperties"] = False
    return json.dumps(found, indent=2)


def as_table(look: Look, diff: bool) -> None:
    """For people."""
    console = Console(width=None if Console().is_terminal else 120)
    if look.findings:
        table = Table("node", "thing", "what differs", "since", "who moved")
        for finding in look.findings:
            table.add_row(*map(escape, _cells(finding)))
        console.print(table)
    for finding in look.findings if diff else ():
        if finding.diff:
            title = f"{finding.node}: {finding.kind} {finding.thing}: {finding.what}"
            console.print(escape(title), style="bold", soft_wrap=True)
        for line in finding.diff[:SHOWN]:
            console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        if left := len(finding.diff[SHOWN:]):
            console.print(f"  … {left} more lines: --json has them")
    for note in look.states:
        console.print(escape(f"state: {_named(note.node)}{note.text}"), soft_wrap=True)
    for note in look.unknown:
        console.print(
            escape(f"unknown: {_named(note.node)}{note.text}"), soft_wrap=True
        )
    console.print(f"{_verdict(look)}; {look.stack}, {look.seconds} s", soft_wrap=True)


def _verdict(look: Look) -> str:
    count = len(look.findings)
    text = f"{count} drift{'s' * (count != 1)}" if count else "no drift"
    if look.unknown:
        things = "1 thing" if len(look.unknown) == 1 else f"{len(look.unknown)} things"
        text += f", and {things} could not be found out"
    return text


def _named(node: str) -> str:
    return f"{node}: " if node else ""


def _cells(finding: Finding) -> tuple[str, ...]:
    mended = "" if finding.mended_by_a_run else " (no run mends it)"
    return (
        finding.node or "all",
        f"{finding.kind} {finding.thing}".strip(),
        f"{finding.what}{mended}",
        _time(finding.since),
        finding.moved,
    )


def _time(since: int | None) -> str:
    return f"{datetime.fromtimestamp(since, UTC):%m-%d %H:%M:%S}" if since else ""


def as_json(look: Look, diff: bool) -> None:  # noqa: ARG001 - JSON has everything
    """For programs."""
    click.echo(TypeAdapter(Look).dump_json(look, indent=2).decode())


def as_junit(look: Look, diff: bool) -> None:  # noqa: ARG001 - as the others
    """For CI: a failed test for each finding, an error for what is unknown."""
    count = len(look.findings) + len(look.unknown)
    suite = Element(
        "testsuite",
        name="portway drift",
        tests=str(max(count, 1)),
        failures=str(len(look.findings)),
        errors=str(len(look.unknown)),
        time=str(look.seconds),
        timestamp=datetime.fromtimestamp(look.looked_at, UTC).isoformat(),
    )
    for finding in look.findings:
        node, thing, what, since, moved = _cells(finding)
        case = SubElement(suite, "testcase", classname=node, name=thing)
        failure = SubElement(case, "failure", message=what, type=moved)
        failure.text = "\n".join((*finding.diff, f"since {since}" if since else ""))
    for note in look.unknown:
        case = SubElement(suite, "testcase", classname=note.node, name="unknown")
        SubElement(case, "error", message=note.text)
    if not count:
        SubElement(suite, "testcase", classname=look.stack, name="no drift")
    indent(suite)
    click.echo(NO_XML.sub("?", tostring(suite, encoding="unicode")))


NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 cannot have, not even escaped."""

METRICS: Mapping[str, str] = {
    "portway_drift": "Things that a look found not to be as they should be.",
    "portway_drift_unknown": "Things that a look could not find out.",
    "portway_drift_last_look_timestamp_seconds": "When the last look began.",
    "portway_drift_last_look_seconds": "How long it took.",
}
"""What ``--prometheus`` prints, with its help."""


def as_prometheus(look: Look, diff: bool) -> None:  # noqa: ARG001 - as the others
    """For the text files of a node exporter, one for each stack that is looked at."""
    stack = f'stack="{look.stack}"'
    rows: dict[tuple[str, str, str], int] = {}
    for found in look.findings:
        row = found.node or "all", found.kind, found.moved
        rows[row] = rows.get(row, 0) + 1
    of_stack = f"{{{stack}}}"
    began = (of_stack, float(look.looked_at))
    values = {
        "portway_drift": [
            (f'{{{stack},node="{node}",kind="{kind}",moved="{moved}"}}', float(count))
            for (node, kind, moved), count in rows.items()
        ]
        or [(of_stack, 0.0)],
        "portway_drift_unknown": [(of_stack, float(len(look.unknown)))],
        "portway_drift_last_look_timestamp_seconds": [began],
        "portway_drift_last_look_seconds": [(of_stack, look.seconds)],
    }
    for name, help_ in METRICS.items():
        click.echo(f"# HELP {name} {help_}\n# TYPE {name} gauge")
        for labels, value in values[name]:
            click.echo(f"{name}{labels} {value:.15g}")


FORMS: Mapping[str, Callable[[Look, bool], None]] = {
    "table": as_table,
    "json": as_json,
    "junit": as_junit,
    "prometheus": as_prometheus,
}
"""How a look can be printed, with its diffs or without."""
