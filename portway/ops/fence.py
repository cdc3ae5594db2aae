"""Keeps a run that has lost its lease on a node from changing that node.

Every command that changes a node is made here, or run by ``portway.ops.remote``, which
puts its scripts behind the same fence. A test holds the library to this.
"""

from collections.abc import Callable

from pyinfra import host
from pyinfra.api import StringCommand

from portway.ops.pyinfra_errors import Commands
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


def change(script: str, stdin: str | None = None) -> Commands:
    """Change the current host by one script, and forget what it was like before."""
    script = fenced(host.name, script)
    yield StringCommand(script, _stdin=stdin) if stdin else StringCommand(script)
    forget_host()
