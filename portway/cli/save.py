"""``portway save``: what AWS says about a stack, into a file."""

from pathlib import Path

import click

from portway.cli.inventory import SAVED, loader, show_progress
from portway.cli.options import inventory_argument, json_option
from portway.cli.output import print_json


@click.command(
    "save", epilog="Example: portway save inventories/prod.py prod-saved.json"
)
@inventory_argument(required=True)
@click.argument("file", type=click.Path(path_type=Path), default=SAVED)
@json_option
def command(inventory: str, file: Path, as_json: bool) -> None:
    """Save what AWS says about a stack to a file, for check, render and explain.

    FILE is saved.json if it is not given. It has no passwords. INVENTORY is a file such
    as inventories/prod.py.
    """
    load = loader(inventory)  # before what makes connections is imported
    show_progress()
    from portway.aws.discovery import Need
    from portway.run.saving import read_through, write_saved

    saved = read_through(inventory, load, Need.ENDPOINT)
    write_saved(file, saved)
    nodes = [node.name for node in saved.stack.nodes]
    if as_json:
        print_json({"file": str(file), "stack": saved.stack.name, "nodes": nodes})
    else:
        click.echo(f"{file}: stack {saved.stack.name} with {', '.join(nodes)}")
