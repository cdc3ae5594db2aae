"""``portway reference``: tables of what is declared in the code, in a document."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from portway.agent import metrics as agent
from portway.cli.main import VERBS
from portway.cli.options import json_option
from portway.cli.output import print_json
from portway.contract.metrics import (
    COUNTERS,
    METRICS,
    PREFIX,
    RELOAD_METRICS,
    RELOAD_PREFIX,
    STREAMS_METRICS,
    STREAMS_PREFIX,
)
from portway.errors import PortwayError
from portway.model.clients import Client
from portway.model.settings import Settings
from portway.run.local_files import replace_file


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
    for name, help_ in agent.METRICS.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"`{agent.PREFIX}{name}`", kind, help_


def verbs() -> Iterator[tuple[str, ...]]:
    """Rows for the verbs of ``portway``."""
    yield "verb", "does"
    for verb, context in _verbs():
        words = verb.collect_usage_pieces(context)[1:]  # all have options
        yield (
            f"`{' '.join(('portway', str(context.info_name), *words))}`",
            verb.get_short_help_str(120)
            if context.parent
            else VERBS[str(verb.name)][0],
        )


def options() -> Iterator[tuple[str, ...]]:
    """Rows for the options of the verbs that not all have."""
    yield "verb", "option", "meaning"
    for verb, context in _verbs():
        for parameter in verb.params:
            record = parameter.get_help_record(context)
            if record and record[1] and "--json" not in parameter.opts:
                words, meaning = (text.replace("|", r"\|") for text in record)
                yield (
                    f"`{context.info_name}`",
                    f"`{words}`",
                    meaning.replace("  [", " ["),
                )


def _verbs() -> Iterator[tuple[click.Command, click.Context]]:
    """Each verb, and where one is a group, what is in it, with its whole name."""
    for name, (_, load) in VERBS.items():
        verb = load()
        context = click.Context(verb, info_name=name)
        if not isinstance(verb, click.Group):
            yield verb, context
            continue
        for part in verb.commands.values():
            yield part, click.Context(part, context, info_name=f"{name} {part.name}")


TABLES: dict[str, Callable[[], Iterator[tuple[str, ...]]]] = {
    "settings": partial(fields, Settings, repr),
    "client fields": partial(fields, Client, json.dumps),
    "metrics": metrics,
    "verbs": verbs,
    "options of verbs": options,
}
"""Rows by the name of their mark, the heading first."""


def table(rows: Iterator[tuple[str, ...]]) -> str:
    """The rows as a Markdown table."""
    head = next(rows)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def updated(text: str) -> str:
    """The text with every marked table replaced.

    Raises PortwayError if a mark is missing.
    """
    for name, rows in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if start not in text or end not in text:
            raise PortwayError(f"the marks {start} and {end} are missing")
        pattern = re.escape(start) + ".*?" + re.escape(end)
        marked = f"{start}\n{table(rows())}\n{end}"
        text = re.sub(pattern, marked.replace("\\", r"\\"), text, flags=re.DOTALL)
    return text


@click.command("reference", epilog="Example: portway reference docs/reference.md")
@click.argument(
    "file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    default="docs/reference.md",
)
@json_option
def command(file: Path, as_json: bool) -> None:
    """Replace the tables of settings, client fields, metrics and verbs in a document.

    They are made from where these are declared. FILE is docs/reference.md if it is not
    given; it has a mark before and after each table.
    """
    before = file.read_text(encoding="utf-8")
    after = updated(before)
    if after != before:
        replace_file(file, after)
    if as_json:
        print_json({"file": str(file), "changed": after != before})
    else:
        click.echo(f"{file}: {'changed' if after != before else 'is as the code says'}")
