"""``python -m lab endurance``: a long run, its judgement and its report."""

from itertools import count
from pathlib import Path

from lab.endurance import runner, table
from lab.endurance.judgement import problems
from lab.endurance.node_changes import NODES
from lab.endurance.records import Change, Endurance, from_text, to_text
from lab.endurance.runner import Task
from lab.errors import LabError
from lab.ground.progress import step
from lab.lifecycle.down import down
from lab.lifecycle.up import up
from lab.plan.names import Lab
from lab.plan.project import PROJECT

DOCUMENT = PROJECT / "docs" / "endurance.md"


def run_in_new_lab(lab: Lab, task: Task) -> Endurance:
    """Make a lab of its own, and the changes in it."""
    down(lab)
    with step("a lab with four application nodes"):
        up(lab, NODES)
    return run(lab, task)


def run(lab: Lab, task: Task) -> Endurance:
    """Make the changes in the lab that is up, and print a line as each ends."""
    numbers = count(1)

    def report(change: Change) -> None:
        print(table.line(next(numbers), change), flush=True)

    found = runner.run(lab, task, report)
    print(table.shown(found), flush=True)
    return found


def load(file: Path) -> Endurance:
    """The run in a file; LabError if it has none."""
    try:
        return from_text(file.read_text())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LabError(f"{file} has no long run: {error}") from error


def save(file: Path, found: Endurance) -> None:
    """Write a run to a file."""
    file.write_text(to_text(found))


def write_report(found: Endurance) -> None:
    """Write the tables into the document."""
    try:
        text = table.updated(DOCUMENT.read_text(), found)
    except (OSError, ValueError) as error:
        raise LabError(f"{DOCUMENT.name}: {error}") from error
    DOCUMENT.write_text(text)


def refuse_if_broken(found: Endurance) -> None:
    """LabError if anything was not as promised."""
    if wrong := problems(found):
        raise LabError(f"not as promised: {'; '.join(wrong)}")
