"""``portway status``: the running system in one screen."""

import dataclasses
import json
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portway.cli import completion
from portway.cli.options import data_option, inventory_argument, json_option
from portway.cli.output import print_json

if TYPE_CHECKING:
    from portway.run.nodes import Nodes
    from portway.run.status.report import Report

EVERY = 5.0
"""Seconds between two looks with ``--watch``."""


EXAMPLES = """\b
Examples:
portway status inventories/prod.py
portway status inventories/prod.py --client client_one
portway status inventories/prod.py --html status.html
"""


@click.command("status", epilog=EXAMPLES)
@inventory_argument(required=True)
@click.option("--watch", is_flag=True, help="Look again every few seconds.")
@click.option(
    "--client",
    metavar="NAME",
    help="Whether one client reaches us: its port, connections, log and networks.",
    shell_complete=completion.names(completion.clients),
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page that needs nothing else, and is readable on a phone, too.",
)
@data_option
@json_option
def command(  # noqa: PLR0913, PLR0917 - one for each option
    inventory: str,
    watch: bool,
    client: str | None,
    html: Path | None,
    data: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the running system in one screen, and what mends what is wrong.

    INVENTORY is a file such as inventories/prod.py. Every node is asked once, all at
    the same time; nothing is changed, and it works while a run goes on.

    Ends with 0 if all is well, 2 if something is wrong, and 1 if something could not
    be found out: AWS or a node does not answer. The rest is shown all the same.
    """
    import pyinfra_cli  # noqa: F401 - first: it changes the standard library

    from portway.cli.nodes import nodes_to_look_at

    if (watch and (as_json or html or client)) or (client and html):
        raise click.UsageError("--watch, --client and --html exclude one another")
    opened = nodes_to_look_at(inventory, data)
    if client is not None:
        _show_client(opened, client, as_json)
    elif watch:
        with suppress(KeyboardInterrupt):
            _watch(inventory, data)
    else:
        _show(opened, inventory, html, as_json)


def _show(
    opened: AbstractContextManager["Nodes"],
    inventory: str,
    html: Path | None,
    as_json: bool,
) -> None:
    from portway.cli.status.screen import show

    with opened as nodes:
        found = _report(nodes, inventory)
    if html is not None:
        from portway.cli.status.page import page
        from portway.run.local_files import SHARED, replace_file

        replace_file(html, page(found), SHARED)
    if as_json:
        print_json(as_values(found))
    elif html is None:
        show(found)
    sys.exit(found.exit_status)


def _report(nodes: "Nodes", inventory: str) -> "Report":
    from portway.run.status.asking import see
    from portway.run.status.report import report

    return report(see(nodes), inventory)


def as_values(found: Any) -> dict[str, Any]:
    """A report as JSON has it, the exit status with it."""
    status = {"exit_status": found.exit_status}
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(found)))
    return status | values


def _watch(inventory: str, data: tuple[str, ...]) -> None:
    """Show the screen again and again, until Ctrl-C."""
    from rich.live import Live

    from portway.cli.nodes import nodes_to_look_at
    from portway.cli.status.screen import console, screen

    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            with nodes_to_look_at(inventory, data) as nodes:
                names = {node.instance_id for node in nodes.stack.nodes}
                while {node.instance_id for node in nodes.stack.nodes} == names:
                    live.update(screen(_report(nodes, inventory)), refresh=True)
                    time.sleep(EVERY)
                    nodes.reread()


def _show_client(
    opened: AbstractContextManager["Nodes"], client: str, as_json: bool
) -> None:
    from portway.cli.status.client_screen import show
    from portway.run.status.client import look_for

    with opened as nodes:
        found = look_for(nodes, client)
    if as_json:
        print_json(as_values(found))
    else:
        show(found)
    sys.exit(found.exit_status)
