"""The runbook quotes what the program says, and metrics that exist."""

import ast
import functools
import re

import pytest

from portway.agent import metrics as agent
from portway.cli.monitoring.metric_names import EXPORTER
from portway.contract.metrics import METRICS, PREFIX, STREAMS_METRICS, STREAMS_PREFIX
from tests.unit.documents.reading import (
    DOCUMENTS,
    PROJECT,
    RUNBOOK,
    section,
)

LEAST_QUOTED = 10
"""Characters of an error text that a key must quote, so that it is not just any."""


@functools.cache
def texts() -> str:
    """Every text in the sources but docstrings, with … for what is filled in."""
    found = []
    for path in sorted((PROJECT / "portway").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            if isinstance(node, ast.JoinedStr):
                parts = (
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
                found.append("".join(parts))
    return "\n".join(found)


def keys(text: str) -> list[str]:
    """What entries of a section begin with: headings and first cells, in backticks."""
    return re.findall(r"^(?:###+ |\| )`([^`]+)`(?: \||$)", text, re.MULTILINE)


def occurs(key: str) -> bool:
    """Whether the sources have a text like this; … stands for anything in a line."""
    parts = [part for part in key.split("…") if part]
    if sum(len(part.strip()) for part in parts) < LEAST_QUOTED:
        return False
    return re.search(".*".join(map(re.escape, parts)), texts()) is not None


def test_every_error_text_of_the_runbook_is_in_the_sources() -> None:
    found = keys(section(RUNBOOK.read_text(), "Error texts"))
    assert len(found) > 50
    assert [key for key in found if not occurs(key)] == []


@pytest.mark.parametrize(
    "key",
    [
        "is healthy, but its load balancers do not find it so",
        "in AWS … leads to …, but VRRP master is …",
        "…",
        "is …",
        "Haproxy's runtime socket: the state of every server",
    ],
)
def test_error_text_that_nothing_says_is_found(key: str) -> None:
    assert not occurs(key)


def unknown_metrics(text: str) -> set[str]:
    """Metrics of ours that a text names and that there are not."""
    there = {
        PREFIX: METRICS,
        STREAMS_PREFIX: STREAMS_METRICS,
        agent.PREFIX: agent.METRICS,
    }
    named = set(re.findall(rf"(?:{'|'.join(there)})\w+", text))
    return named - {prefix + name for prefix, names in there.items() for name in names}


def test_alerts_name_metrics_that_exist() -> None:
    expressions = keys(section(RUNBOOK.read_text(), "Alerts"))
    assert len(expressions) > 5
    names = (PREFIX, agent.PREFIX, "haproxy_", "portway_drift", *EXPORTER)
    assert all(any(name in text for name in names) for text in expressions)
    assert unknown_metrics("\n".join(path.read_text() for path in DOCUMENTS)) == set()


def test_unknown_metric_is_found() -> None:
    assert unknown_metrics("sum(portway_address_mastery) == 2")
