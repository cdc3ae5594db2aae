"""Keeps a run that has lost its lease on a node from changing that node.

Every command that changes a node is made here, or run by ``portway.ops.remote``, which
puts its scripts behind the same fence. Nothing is changed without saying which
differences that is for. A test holds the library to this.
"""

from collections.abc import Callable, Iterable

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, StringCommand

from portway.ops.differences import Difference
from portway.ops.findings import differs
from portway.ops.pyinfra_errors import Commands, reported
from portway.ops.reading import forget_host, readings

FENCE = (None, "fence")

Fence = Callable[[str, str], str]
"""Turns a node's name and a script into the script that may run there."""


def put_up(fence: Fence) -> None:
    """Have every later script of this run pass through a fence."""
    readings().keep(FENCE, fence)


def fenced(name: str, script: str) -> str:
    """A script for a node, behind the fence of this run if there is one."""
    fence: Fence | None = readings().get(FENCE)
    return script if fence is None else fence(name, script)


def change(
    differences: Iterable[Difference], script: str, stdin: str | None = None
) -> Commands:
    """Change the current host by one script, and forget what it was like before.

    What an operation changes belongs to its first command: a look ends with that.
    """
    _tell(differences)
    script = fenced(host.name, script)
    yield StringCommand(script, _stdin=stdin) if stdin else StringCommand(script)
    forget_host()


def work(
    differences: Iterable[Difference], function: Callable[[], None]
) -> FunctionCommand:
    """A command that makes changes which are more than one script on one node."""
    _tell(differences)
    return reported(function)


def _tell(differences: Iterable[Difference]) -> None:
    """Keep what is about to be changed, and say it when it is."""
    found = tuple(differences)
    differs(host.name, found)
    for one in found if state.is_executing else ():
        about = f"{one.kind} {one.thing}".strip()
        logger.info(f"{host.print_prefix}{about}: {one.what}")
