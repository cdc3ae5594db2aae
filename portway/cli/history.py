"""``portway history``: who deployed what, moves of the address, reloads."""

import dataclasses
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from portway.cli.options import data_option, inventory_argument, json_option
from portway.cli.output import FAILED, print_json
from portway.model.durations import milliseconds

if TYPE_CHECKING:
    from rich.text import Text

    from portway.run.history import Event


class Since(click.ParamType[float]):
    """Seconds since 1970, from ``2h``, ``7d`` or a date in ISO 8601."""

    name = "WHEN"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The time; click's error if it is none."""
        if isinstance(value, float):
            return value
        if (ago := milliseconds(str(value))) is not None:
            return max(0.0, datetime.now(UTC).timestamp() - ago / 1000)
        try:
            when = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f'"{value}" is neither like 2h or 7d nor a date', param, ctx)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


@click.command("history", epilog="portway history inventories/prod.py --since 7d")
@inventory_argument(required=True)
@click.option(
    "--since",
    type=Since(),
    default=0.0,
    help="Only what happened since: 2h, 7d, or a date such as 2026-11-27 (UTC).",
)
@data_option
@json_option
def command(inventory: str, since: float, data: tuple[str, ...], as_json: bool) -> None:
    """Show who deployed what, moves of the address and reloads, the oldest first.

    INVENTORY is a file such as inventories/prod.py. The nodes remember it: each its
    last 100 runs and 100 reloads, and what is left of its journal. Ends with 1 if a
    node could not be asked; what the others remember is shown.
    """
    import pyinfra_cli  # noqa: F401 - first: it changes the standard library
    from rich.console import Console

    from portway.cli.nodes import nodes_to_look_at
    from portway.run.history import read

    with nodes_to_look_at(inventory, data) as nodes:
        found = read(nodes, since)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
        for event in found.events:
            console.print(line(event))
        if not found.events:
            console.print("nothing is remembered")
        for text in found.missing:
            click.echo(f"not all: {text}", err=True)
    sys.exit(FAILED if found.missing else 0)


def line(event: "Event") -> "Text":
    """An event for people; a run has a line for each change, too."""
    from rich.text import Text

    when = datetime.fromtimestamp(event.when, UTC).strftime("%Y-%m-%d %H:%M:%S")
    names = ", ".join(event.nodes)
    if event.kind != "run":
        return Text(f"{when}  {names}: {event.text}")
    took = f" in {event.seconds} s" if event.seconds is not None else ""
    style = {"succeeded": "green", "going on": "yellow"}.get(event.result, "bold red")
    text = Text.assemble(
        f"{when}  {event.who}: {event.text}: ",
        (f"{event.result}{took}", style),
        f" ({names})",
    )
    if event.checkout:
        text.append(f"\n    {event.checkout}", "dim")
    for node, changes in event.changes.items():
        text.append(f"\n    {node}: {'; '.join(changes)}")
    return text
