"""``python -m lab failover``: chooses scenarios, runs them, and writes the report."""

import json
import traceback
from collections.abc import Sequence
from pathlib import Path

from lab.aws.address import ELASTIC_IP
from lab.errors import LabError
from lab.failover import runner, table
from lab.failover.outcome import Outcome, from_dict, to_dict, worst
from lab.failover.pair import MOVES, Pair
from lab.failover.scenario import Scenario
from lab.failover.scenarios import SCENARIOS
from lab.failover.world import deploy, must
from lab.faults import interface as faults
from lab.ground.progress import step
from lab.lifecycle.down import down
from lab.lifecycle.up import up
from lab.plan.names import Lab
from lab.plan.project import PROJECT

DOCUMENT = PROJECT / "docs" / "failover.md"


def show() -> None:
    """Print every scenario: the name that ``--only`` takes, and what it is."""
    width = max(len(scenario.slug) for scenario in SCENARIOS)
    for scenario in SCENARIOS:
        kinds = "*" if scenario.every_kind else " "
        print(f"{kinds} {scenario.slug.ljust(width)}  {scenario.description}")
    print("\n* with every kind of address; the others with an Elastic IP only")


def chosen(names: Sequence[str], kind: str) -> list[Scenario]:
    """The scenarios of these names; without names, all that there are for a kind."""
    by_name = {s.slug: s for s in SCENARIOS} | {s.name: s for s in SCENARIOS}
    if unknown := [name for name in names if name not in by_name]:
        raise LabError(
            f"there is no scenario {', '.join(map(repr, unknown))}; --list has them"
        )
    if names:
        return list(dict.fromkeys(by_name[name] for name in names))
    return [s for s in SCENARIOS if s.every_kind or kind == ELASTIC_IP]


def run_every_kind(lab: Lab, names: Sequence[str], times: int = 1) -> list[Outcome]:
    """Run scenarios in a new lab for each kind of address; the last stays up."""
    outcomes = []
    for kind in MOVES:
        down(lab)
        up(lab, address_kind=kind)
        with step(f"deploying to the lab with an address of kind {kind}"):
            must(deploy(lab, "site"), "the run of deploys/site.py")
        outcomes += run(lab, names, times)
    return outcomes


def run(lab: Lab, names: Sequence[str], times: int = 1) -> list[Outcome]:
    """Run scenarios in the lab that is up, and print a row as each ends.

    Each several times in a row; the row is then that of the worst run.
    """
    present = Pair(lab).address.kind
    wanted = chosen(names, present)
    print(f"\nAddress of kind {present}:\n\n{table.head()}", flush=True)
    outcomes = []
    for number, scenario in enumerate(wanted, start=1):
        with step(f"{number} of {len(wanted)}: {scenario.name}"):
            outcome = worst([_run(lab, scenario, present) for _ in range(times)])
        outcomes.append(outcome)
        print(table.row(outcome), flush=True)
    print(f"\n{table.summary(outcomes)}", flush=True)
    return outcomes


def _run(lab: Lab, scenario: Scenario, kind: str) -> Outcome:
    """One scenario; what breaks on the way fails it and not those that follow."""
    try:
        return runner.run(lab, scenario)
    except Exception as error:
        if not isinstance(error, LabError):
            traceback.print_exc()
        faults.heal(lab)
        return runner.failed(scenario, kind, f"it could not be run: {error}")


def merged(file: Path, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What a file has and this run does not, and this run's own, in their order."""
    kept = {(o.kind, o.name): o for o in load(file)} if file.exists() else {}
    kept |= {(o.kind, o.name): o for o in outcomes}
    order = [scenario.name for scenario in SCENARIOS]

    def place(outcome: Outcome) -> tuple[bool, str, int]:
        known = outcome.name in order
        number = order.index(outcome.name) if known else len(order)
        return outcome.kind != ELASTIC_IP, outcome.kind, number

    return sorted(kept.values(), key=place)


def load(file: Path) -> list[Outcome]:
    """The outcomes in a file; LabError if it is not one of outcomes."""
    try:
        return [from_dict(item) for item in json.loads(file.read_text())]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LabError(f"{file} has no outcomes of scenarios: {error}") from error


def save(file: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes to a file."""
    file.write_text(json.dumps([to_dict(o) for o in outcomes], indent=1) + "\n")


def write_report(outcomes: Sequence[Outcome]) -> None:
    """Write the tables into the document, and the picture that it shows."""
    from lab.failover import drawing  # noqa: PLC0415 - slow, and only for this

    try:
        text = table.updated(DOCUMENT.read_text(), outcomes)
    except ValueError as error:
        raise LabError(f"{DOCUMENT.name}: {error}") from error
    DOCUMENT.write_text(text)
    drawing.draw(outcomes, DOCUMENT.with_name(table.PICTURE))
