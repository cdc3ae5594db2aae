"""``python -m lab run``, ``client``, ``exec`` and ``env``: commands inside the lab."""

import argparse
import shlex
from collections.abc import Callable

from lab.plan.names import Lab


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add these verbs."""
    run = add("run", _run, "run a command as the operator: python -m lab run -- CMD")
    client = add("client", _client, "run a command as a customer")
    client.add_argument(
        "--from", dest="source", metavar="ADDRESS", help="the customer at this address"
    )
    execute = add("exec", _exec, "run a command as root on a host")
    execute.add_argument("node", metavar="NODE")
    for command in (run, client, execute):
        command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    add("env", _env, "print the operator's environment for a shell to read")


def _run(lab: Lab, options: argparse.Namespace) -> None:
    from lab.machines import commands

    commands.run_as_operator(lab, _command(options))


def _client(lab: Lab, options: argparse.Namespace) -> None:
    from lab.machines import commands

    commands.run_as_customer(lab, options.source, _command(options))


def _exec(lab: Lab, options: argparse.Namespace) -> None:
    from lab.machines import commands

    commands.run_on_host(lab, options.node, _command(options))


def _env(lab: Lab, options: argparse.Namespace) -> None:
    from lab.machines import commands

    del options
    for key, value in sorted(commands.environment(lab).items()):
        print(f"export {key}={shlex.quote(value)}")


def _command(options: argparse.Namespace) -> list[str]:
    command: list[str] = options.command
    return command[1:] if command[:1] == ["--"] else command
