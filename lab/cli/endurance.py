"""``python -m lab endurance``."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.plan.names import Lab


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add this verb."""
    endurance = add(
        "endurance", _endurance, "change nodes and clients many times, under streams"
    )
    endurance.add_argument(
        "--new-lab",
        action="store_true",
        help="in a new lab; else in the one that is up, with four application nodes",
    )
    for option, default, what in (
        ("node-changes", 100, "changes of application nodes"),
        ("client-changes", 40, "changes of clients"),
        ("streams", 200, "streams to hold"),
    ):
        endurance.add_argument(
            f"--{option}", type=int, default=default, metavar="N", help=what
        )
    endurance.add_argument(
        "--minutes",
        type=float,
        default=22.0,
        metavar="M",
        help="make no further change after so many",
    )
    endurance.add_argument(
        "--json", type=Path, metavar="FILE", help="keep what was seen there"
    )
    endurance.add_argument(
        "--document", action="store_true", help="write the tables of docs/endurance.md"
    )
    endurance.add_argument(
        "--redraw", action="store_true", help="judge and write FILE again; run nothing"
    )


def _endurance(lab: Lab, options: argparse.Namespace) -> None:
    from lab.endurance import command, runner, table

    if options.redraw:
        if not options.json:
            raise LabError(
                "--redraw has no run to draw: name its file with --json FILE"
            )
        found = command.load(options.json)
        print(table.shown(found))
    else:
        run = command.run_in_new_lab if options.new_lab else command.run
        names = ("node_changes", "client_changes", "streams", "minutes")
        task = runner.Task(**{name: getattr(options, name) for name in names})
        found = run(lab, task)
        if options.json:
            command.save(options.json, found)
    if options.document:
        command.write_report(found)
    command.refuse_if_broken(found)
