"""``portway agent``: a node that deploys to itself."""

import sys
from pathlib import Path

import click

from portway.cli.options import (
    data_option,
    inventory_argument,
    json_option,
    stack_options,
)
from portway.cli.output import FOUND, print_json

LOAD_BALANCER = "load-balancer"
role_option = click.option(
    "--role",
    type=click.Choice((LOAD_BALANCER, "application")),
    default=LOAD_BALANCER,
    show_default=True,
    help="What this machine is in its stack.",
)


@click.group("agent", epilog="Example: portway agent run inventories/prod.py")
def command() -> None:
    """Deploy to the machine that this runs on, a node of the stack.

    deploys/agent.py installs a timer that does it. Each verb of it has --json.
    """


@command.command("update", epilog="Example: portway agent update --stack portway-prod")
@stack_options
@json_option
def update_command(stack: str, region: str, as_json: bool) -> None:
    """Have this machine's current release be the one that is published.

    It is fetched, verified, unpacked and started once before the link is changed; if
    any of that fails, the link stays. This deploys nothing.
    """
    from portway.agent.memory import Files
    from portway.agent.store import Store
    from portway.aws.releases import published_release

    _refuse_unless_root()
    store, published = Store(), published_release(region, stack)
    keeps = Files().memory().served
    changed = published is not None and store.update(region, published, keeps)
    if as_json:
        print_json({"release": store.current, "changed": changed})
    elif published is None:
        click.echo(f"stack {stack}: no release is published")
    else:
        click.echo(f"{store.link}: {store.current}{'' if changed else ', as before'}")


@command.command("run", epilog="Example: portway agent run inventories/prod.py")
@inventory_argument(required=True)
@role_option
@data_option
@json_option
def run_command(
    inventory: str, role: str, data: tuple[str, ...], as_json: bool
) -> None:
    """Deploy to this machine, once: what pyinfra does with deploys/lb.py, without SSH.

    With --role application: with deploys/app.py. INVENTORY is a file such as
    inventories/prod.py. No other node is asked. Each load balancer goes by what the
    other tells in a tag, and the one that holds the address is changed last;
    application nodes have turns. Ends with pyinfra's exit status.
    """
    from portway.agent.running import DEPLOYS, run
    from portway.model.stack import Role

    _refuse_unless_root()
    status = run(inventory, data, DEPLOYS[Role(role)])
    if as_json:
        print_json({"succeeded": status == 0})
    sys.exit(status)


@command.command("install", epilog="Example: portway agent install inventories/prod.py")
@inventory_argument(required=True)
@json_option
def install_command(inventory: str, as_json: bool) -> None:
    """Have a timer deploy to this machine: what deploys/agent.py does, without SSH.

    The machine has the first release already. Ends with pyinfra's exit status.
    """
    from portway.agent.running import INSTALL, run

    _refuse_unless_root()
    status = run(inventory, (), INSTALL)
    if as_json:
        print_json({"succeeded": status == 0})
    sys.exit(status)


@command.command(
    "first-boot", epilog="Example: portway agent first-boot inventories/prod.py"
)
@inventory_argument(required=True)
@stack_options
@click.option(
    "--signers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The setting release_signers_file, if there is one.",
)
@json_option
def first_boot_command(
    inventory: str, stack: str, region: str, signers: Path | None, as_json: bool
) -> None:
    """Print the user data with which new nodes deploy to themselves, in base64.

    For the stack's parameter UserData. INVENTORY is a file of the releases
    that are published, such as inventories/prod.py. This asks and changes nothing.
    """
    from portway.render.agent import user_data

    text = user_data(stack, region, inventory, signers)
    if as_json:
        print_json({"user_data": text})
    else:
        click.echo(text)


@command.command(
    "parameters",
    epilog="Example: portway agent parameters --artifactory-secret portway/artifactory",
)
@stack_options
@click.option(
    "--artifactory-secret",
    default="",
    metavar="NAME",
    help="The setting artifactory_token_secret, if there is one.",
)
@json_option
def parameters_command(
    stack: str, region: str, artifactory_secret: str, as_json: bool
) -> None:
    """Print the parameters of cloudformation/agent.yaml for a stack, KEY=VALUE each.

    This changes nothing.
    """
    from portway.aws.agent_stack import agent_parameters

    found = agent_parameters(region, stack, artifactory_secret)
    if as_json:
        print_json(found)
    else:
        for key, value in found.items():
            click.echo(f"{key}={value}")


@command.command(
    "turn", epilog="Example: portway agent turn --every 1800 inventories/prod.py"
)
@inventory_argument(required=True)
@stack_options
@click.option(
    "--every",
    type=click.FloatRange(min=60),
    default=1800,
    show_default=True,
    help="Seconds between two runs while nothing fails or changes in AWS.",
)
@role_option
@json_option
def turn_command(  # noqa: PLR0913, PLR0917 - one for each option
    inventory: str, stack: str, region: str, every: float, role: str, as_json: bool
) -> None:
    """Do what the timer does: if it is time, take the published release and run it.

    It is time, too, when another release is published than at the last run, or AWS has
    other nodes, or the other load balancer tells something else. Nothing is done while
    the node is suspended. A release with which the node does not
    serve is replaced by the last one that served, and not tried again before somebody
    runs portway agent resume.
    """
    import time

    from portway.agent import metrics
    from portway.agent.idling import why_idle
    from portway.agent.memory import Files
    from portway.aws.looking import LookError

    _refuse_unless_root()
    ran, status = False, 0
    try:
        why = why_idle(Files(), time.time(), every)
        if why is None:  # most times it is not, and need not load what follows
            from portway.agent.store import Store
            from portway.agent.unattended import Unattended, tell

            store = Store(role="" if role == LOAD_BALANCER else role)
            node = Unattended(region, stack, inventory, every, role, store, tell=tell)
            turn = node.turn()
            ran, status = turn.ran, turn.status
        elif why:
            click.echo(why, err=True)
        metrics.save(Files(), stack, role)
    except LookError as error:
        click.echo(str(error), err=True)
        metrics.save(Files(), stack, role, is_blind=True)
    if as_json:
        print_json({"ran": ran, "succeeded": status == 0})
    sys.exit(status)


@command.command("leave", epilog="Example: portway agent leave")
@json_option
def leave_command(as_json: bool) -> None:
    """Let no new client onto this machine, and wait until its streams have ended.

    An application node does it before it stops. Those that have not ended within
    drain_timeout are left. The next run of the node, or a reboot, ends it.
    """
    from portway.agent.leaving import leave

    _refuse_unless_root()
    leave(lambda line: click.echo(line, err=True))
    if as_json:
        print_json({"drained": True})


@command.command(
    "suspend", epilog='Example: portway agent suspend --reason "kernel tests, Anna"'
)
@click.option("--reason", required=True, help="Why; every later run prints it.")
@json_option
def suspend_command(reason: str, as_json: bool) -> None:
    """Have the timer leave this machine as it is until portway agent resume.

    A run that is going on comes to its end.
    """
    import time

    from portway.agent.memory import Files
    from portway.model.suspension import Suspension
    from portway.run.command_line import one_line

    _refuse_unless_root()
    if not (text := one_line(reason).strip()):
        raise click.UsageError("--reason must say why")
    suspension = Suspension(text, _who(), time.time())
    Files().suspend(suspension)
    if as_json:
        print_json({"suspended": str(suspension)})
    else:
        click.echo(str(suspension))


@command.command("resume", epilog="Example: portway agent resume")
@json_option
def resume_command(as_json: bool) -> None:
    """Have the timer go on, and try again at once what failed or was refused."""
    from portway.agent.memory import Files

    _refuse_unless_root()
    files = Files()
    was = files.suspension()
    files.resume()
    if as_json:
        print_json({"was": str(was) if was else None})
    else:
        click.echo(f"it was {was}" if was else "it was not suspended")


@command.command("status", epilog="Example: portway agent status")
@json_option
def status_command(as_json: bool) -> None:
    """Show what the last runs came to on this machine, and with which release.

    Ends with status 2 if the last one failed, the published release is refused, or the
    machine is suspended.
    """
    from dataclasses import asdict

    from portway.agent.memory import Files
    from portway.agent.store import Store
    from portway.model.suspension import moment

    files, current = Files(), Store().current
    memory, suspension = files.memory(), files.suspension()
    if as_json:
        found = {"release": current, **asdict(memory)}
        print_json(found | {"suspended": str(suspension) if suspension else None})
    else:
        failed = f", {memory.failures} failed since" if memory.failures else ""
        rows = (
            ("release", current or "none"),
            ("last served with", memory.served or "none"),
            ("last run", moment(memory.ran)),
            ("last that succeeded", f"{moment(memory.succeeded)}{failed}"),
            ("refused", str(memory.refusal) if memory.refusal else "nothing"),
            ("suspended", str(suspension) if suspension else "no"),
        )
        for name, value in rows:
            click.echo(f"{name:<20}{value}")
        for told in files.told:
            click.echo(told, err=True)
    if suspension or memory.failures or memory.refusal or files.told:
        sys.exit(FOUND)


def _refuse_unless_root() -> None:
    import os

    from portway.errors import PortwayError

    if os.geteuid():
        raise PortwayError(
            "an agent runs as root: it changes the machine that it is on"
        )


def _who() -> str:
    import getpass
    import os

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return str(os.getuid())
