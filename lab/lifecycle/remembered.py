"""What a lab was asked to be, for those who come after: small files, gone with it."""

from lab.errors import LabError
from lab.machines import image
from lab.plan.files import write_whole
from lab.plan.names import Lab

_OWN, _OTHERS = "own", "others"


def suite(lab: Lab, asked: str | None = None) -> str:
    """The suite that is asked for, else the one before, else the default."""
    file = lab.directory / "suite"
    chosen = asked or (file.read_text().strip() if file.exists() else image.SUITES[0])
    write_whole(file, chosen + "\n")
    return chosen


def remember_stack(lab: Lab, *, no_stack: bool, asked_of_it: bool) -> None:
    """Have the lab make its stack, or leave that to others, for as long as it is up.

    LabError if it began the other way, or if others' stack should be changed.
    """
    file = lab.directory / "stack"
    began = file.exists() or lab.hosts.is_dir()
    if no_stack and began and makes_stack(lab):
        raise LabError(
            f"lab {lab.name} has a stack of its own: take it down before "
            "'up --no-stack', or choose another --name"
        )
    others = no_stack or not makes_stack(lab)
    if others and asked_of_it:
        raise LabError(
            f"lab {lab.name} makes no stack (up --no-stack), so it cannot choose what "
            "is in one: update yours with CloudFormation, or take the lab down"
        )
    write_whole(file, (_OTHERS if others else _OWN) + "\n")


def makes_stack(lab: Lab) -> bool:
    """Whether the lab makes its stack itself."""
    file = lab.directory / "stack"
    return not file.exists() or file.read_text().strip() == _OWN
