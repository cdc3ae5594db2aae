"""``python -m lab failover``."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.plan.names import Lab


def add_to(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add this verb."""
    failover = add("failover", _failover, "break the pair and see what clients notice")
    failover.add_argument(
        "--every-kind",
        action="store_true",
        help="in a new lab for each kind of address; else in the one that is up",
    )
    failover.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these scenarios"
    )
    failover.add_argument("--list", action="store_true", help="list the scenarios")
    failover.add_argument(
        "--times", type=int, default=1, metavar="N", help="each of them so many times"
    )
    failover.add_argument(
        "--json", type=Path, metavar="FILE", help="keep the outcomes there, with others"
    )
    failover.add_argument(
        "--document",
        action="store_true",
        help="write tables and picture of docs/failover.md",
    )
    failover.add_argument(
        "--redraw", action="store_true", help="write them from FILE; run nothing"
    )


def _failover(lab: Lab, options: argparse.Namespace) -> None:
    from lab.failover import command

    if options.list:
        command.show()
        return
    if options.redraw:
        if not options.json:
            raise LabError(
                "--redraw has no outcomes to draw: name their file with --json FILE"
            )
        command.write_report(command.load(options.json))
        return
    run = command.run_every_kind if options.every_kind else command.run
    outcomes = run(lab, options.only, options.times)
    failed = not all(outcome.passed for outcome in outcomes)
    if options.json:
        outcomes = command.merged(options.json, outcomes)
        command.save(options.json, outcomes)
    if options.document:
        command.write_report(outcomes)
    if failed:
        raise LabError("scenarios failed")
