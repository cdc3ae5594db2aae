"""``portway trust``: record the nodes' SSH host keys, as EC2's console shows them."""

import logging
import sys
from pathlib import Path

import click

from portway.cli.output import FAILED
from portway.errors import PortwayError


@click.command("trust")
@click.argument("inventory")
@click.option("--dry", is_flag=True, help="Only say what would be recorded.")
def command(inventory: str, dry: bool) -> None:
    """Record the nodes' SSH host keys, as EC2's console shows them.

    INVENTORY is a file such as inventories/prod.py. Ends with 0 if all nodes are known
    afterwards.
    """
    # Before anything that makes connections: it changes the standard library.
    from pyinfra_cli.inventory import make_inventory

    from portway.ops.pyinfra_errors import RunStopped
    from portway.run.inventory import nodes_of
    from portway.run.trust import trust

    _show_progress()
    try:
        stack, nodes = nodes_of(lambda: make_inventory(inventory, cwd=str(Path.cwd())))
        is_well = trust(stack, nodes, print, dry=dry)
    except RunStopped as error:
        raise PortwayError(error.message) from error
    sys.exit(0 if is_well else FAILED)


def _show_progress() -> None:
    """Print what an inventory says while it waits for the stack."""
    logger = logging.getLogger("pyinfra")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
