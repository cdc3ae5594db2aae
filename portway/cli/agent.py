"""``portway agent``: a node that deploys to itself."""

import sys

import click

from portway.cli.options import (
    data_option,
    inventory_argument,
    json_option,
    stack_options,
)
from portway.cli.output import print_json


@click.group("agent", epilog="Example: portway agent run inventories/prod.py")
def command() -> None:
    """Deploy to the machine that this runs on, a load balancer of the stack.

    Each verb of it has --json.
    """


@command.command("update", epilog="Example: portway agent update --stack portway-prod")
@stack_options
@json_option
def update_command(stack: str, region: str, as_json: bool) -> None:
    """Have this machine's current release be the one that is published.

    It is fetched, verified, unpacked and started once before the link is changed; if
    any of that fails, the link stays. This deploys nothing.
    """
    from portway.agent.running import refuse_unless_root
    from portway.agent.store import Store
    from portway.aws.releases import published_release

    refuse_unless_root()
    store, published = Store(), published_release(region, stack)
    changed = published is not None and store.update(region, published)
    if as_json:
        print_json({"release": store.current, "changed": changed})
    elif published is None:
        click.echo(f"stack {stack}: no release is published")
    else:
        click.echo(f"{store.link}: {store.current}{'' if changed else ', as before'}")


@command.command("run", epilog="Example: portway agent run inventories/prod.py")
@inventory_argument(required=True)
@data_option
@json_option
def run_command(inventory: str, data: tuple[str, ...], as_json: bool) -> None:
    """Deploy to this machine, once: what pyinfra does with deploys/lb.py, without SSH.

    INVENTORY is a file such as inventories/prod.py. The other load balancer is not
    asked: each goes by what the other tells in a tag, and the one that holds the
    address is changed last. Ends with pyinfra's exit status.
    """
    from portway.agent.running import run

    status = run(inventory, data)
    if as_json:
        print_json({"succeeded": status == 0})
    sys.exit(status)
