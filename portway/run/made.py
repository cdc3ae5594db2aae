"""What somebody changed of what CloudFormation made: asked for while a look goes on."""

import gevent

from portway.aws.stack_drift import Detected, detect
from portway.errors import PortwayError
from portway.model.stack import Stack
from portway.ops.findings import is_state, is_unknown, see
from portway.run.inventory import current_run

SECONDS = 120.0
"""For how long a look waits for CloudFormation, beside everything else."""
KIND = "resource"


def ask() -> gevent.Greenlet:
    """Have CloudFormation compare the stack of this look with its template."""
    return gevent.spawn(_ask, current_run().stack)


def _ask(stack: Stack) -> Detected:
    try:
        return detect(stack, SECONDS)
    except PortwayError as error:
        return Detected(unknown=str(error))


def leave_out() -> None:
    """Say that nothing of this was asked."""
    is_state("", "security groups and roles were not compared with the template")


def take_in(asked: gevent.Greenlet) -> None:
    """Keep what CloudFormation has found, when it has."""
    detected: Detected = asked.get()
    for changed in detected.changed:
        if changed.is_kept:
            (rule,) = changed.diff
            is_state("", f"{changed.resource}: {changed.what} on purpose: {rule[1:]}")
        else:
            see("", KIND, changed.resource, changed.what, changed.diff)
    if detected.unknown:
        is_unknown("", detected.unknown)
