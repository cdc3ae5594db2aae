"""The reference tables, generated from where settings, fields and metrics are declared.

``python -m portway.cli.reference docs/reference.md`` replaces the tables between their
marks.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from portway.contract.metrics import (
    COUNTERS,
    METRICS,
    PREFIX,
    RELOAD_METRICS,
    RELOAD_PREFIX,
    STREAMS_METRICS,
    STREAMS_PREFIX,
)
from portway.model.clients import Client
from portway.model.settings import Settings


def fields(
    model: type[BaseModel], written: Callable[[object], str]
) -> Iterator[tuple[str, ...]]:
    """Rows for a model's fields; ``written`` is how its users write a value."""
    yield "name", "default", "meaning"
    for name, field in model.model_fields.items():
        default = "required"
        if field.default is not PydanticUndefined:
            default = f"`{written(field.default)}`" if field.default is not None else ""
        yield f"`{name}`", default, str(field.description)


def metrics() -> Iterator[tuple[str, ...]]:
    """Rows for the metrics of load balancers."""
    yield "name", "type", "meaning"
    for name, help_ in METRICS.items():
        kind = "counter" if name in COUNTERS else "gauge"
        yield f"`{PREFIX}{name}`", kind, help_
    for name, help_ in STREAMS_METRICS.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"`{STREAMS_PREFIX}{name}`", kind, help_
    for name, (kind, help_) in RELOAD_METRICS.items():
        yield f"`{RELOAD_PREFIX}{name}`", kind, help_


TABLES: dict[str, Callable[[], Iterator[tuple[str, ...]]]] = {
    "settings": partial(fields, Settings, repr),
    "client fields": partial(fields, Client, json.dumps),
    "metrics": metrics,
}
"""Rows by the name of their mark, the heading first."""


def table(rows: Iterator[tuple[str, ...]]) -> str:
    """The rows as a Markdown table."""
    head = next(rows)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def updated(text: str) -> str:
    """The text with every marked table replaced.

    Raises ValueError if a mark is missing.
    """
    for name, rows in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if start not in text or end not in text:
            raise ValueError(f"the marks {start} and {end} are missing")
        pattern = re.escape(start) + ".*?" + re.escape(end)
        marked = f"{start}\n{table(rows())}\n{end}"
        text = re.sub(pattern, marked.replace("\\", r"\\"), text, flags=re.DOTALL)
    return text


def main(path: Path) -> None:
    """Replace the tables of one file."""
    path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
