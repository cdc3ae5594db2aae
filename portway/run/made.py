"""What somebody changed of what CloudFormation made: asked for while a look goes on."""

from collections.abc import Callable

import gevent

from portway.aws.role_drift import changed_rights
from portway.aws.stack_drift import Detected, detect
from portway.errors import PortwayError
from portway.model.stack import Stack
from portway.ops.findings import is_state, is_unknown, see
from portway.run.inventory import current_run

SECONDS = 120.0
"""For how long a look waits for CloudFormation, beside everything else."""
KIND = "resource"


def ask() -> gevent.Greenlet:
    """Compare the stack of this look with its template; CloudFormation does most."""
    return gevent.spawn(_ask, current_run().stack)


def _ask(stack: Stack) -> list[Detected]:
    return [
        _found(lambda: Detected(changed_rights(stack))),
        _found(lambda: detect(stack, SECONDS)),
    ]


def _found(look: Callable[[], Detected]) -> Detected:
    """What a look finds, or why it could not."""
    try:
        return look()
    except PortwayError as error:
        return Detected(unknown=str(error))


def leave_out() -> None:
    """Say that nothing of this was asked."""
    is_state("", "security groups and roles were not compared with the template")


def take_in(asked: gevent.Greenlet) -> None:
    """Keep what was found, when CloudFormation has ended."""
    found: list[Detected] = asked.get()
    for changed in (change for detected in found for change in detected.changed):
        if changed.is_kept:
            said = " ".join(line[1:] for line in changed.diff)
            is_state("", f"{changed.resource}: {changed.what} on purpose: {said}")
        else:
            see("", KIND, changed.resource, changed.what, changed.diff)
    for text in dict.fromkeys(detected.unknown for detected in found):
        if text:
            is_unknown("", text)
