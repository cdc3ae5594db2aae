"""``portway trust``: record the nodes' SSH host keys, as EC2's console shows them."""

import sys

import click

from portway.cli.inventory import loader, show_progress
from portway.cli.options import inventory_argument, json_option
from portway.cli.output import FAILED, print_json
from portway.errors import PortwayError


@click.command(
    "trust",
    epilog="Example: portway trust inventories/prod.py --dry",
    no_args_is_help=True,
)
@inventory_argument(required=True)
@click.option("--dry", is_flag=True, help="Only say what would be recorded.")
@json_option
def command(inventory: str, dry: bool, as_json: bool) -> None:
    """Record the nodes' SSH host keys, as EC2's console shows them.

    INVENTORY is a file such as inventories/prod.py. Ends with 0 if all nodes are known
    afterwards.
    """
    load = loader(inventory)  # before what makes connections is imported
    show_progress()
    from portway.ops.pyinfra_errors import RunStopped
    from portway.run.inventory import nodes_of
    from portway.run.trust import trust

    messages: list[str] = []
    say = messages.append if as_json else click.echo
    try:
        stack, nodes = nodes_of(load)
        is_well = trust(stack, nodes, say, dry=dry)
    except RunStopped as error:
        raise PortwayError(error.message) from error
    if as_json:
        print_json({"known": is_well, "messages": messages})
    sys.exit(0 if is_well else FAILED)
