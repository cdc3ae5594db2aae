"""The command line of the lab: its parser, and how a command ends."""

import argparse
import sys

from lab.cli import endurance, failover, fault, lifecycle, load, run, starve
from lab.errors import LabError
from lab.plan.names import chosen


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the result is the process's exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(chosen(options.name), options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Portway's whole system on one machine: hosts, a VPC, AWS, "
        "an operator and customers. Nothing outside the machine is contacted.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--name", help="the lab's name (PORTWAY_LAB in the environment, or portway)"
    )

    def add(name: str, run: object, help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=help_, description=help_, parents=[common]
        )
        command.set_defaults(run=run)
        return command

    for verbs in (lifecycle, load, failover, starve, endurance, run, fault):
        verbs.add_to(add)
    return parser
