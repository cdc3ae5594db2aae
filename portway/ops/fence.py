"""Keeps a run that has lost its lease on a node from changing that node."""

from collections.abc import Callable

from portway.ops.reading import readings

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
