"""What an observation of one line can say."""

from collections.abc import Callable
from enum import StrEnum

from acceptance.parts.view import View
from portway.errors import PortwayError
from portway.model.stack import Node


class Verdict(StrEnum):
    """What an observation says about its line."""

    SEEN = "as relied on"
    DIFFERS = "differs"
    UNCLEAR = "unclear"
    """What was asked for was not answered, or did not show it."""


Seen = tuple[Verdict, str]
Observer = Callable[[View], Seen]


class FailedError(Exception):
    """A node could not do what a line says that it can."""


def judged(is_so: bool, text: str) -> Seen:
    """A verdict by a condition."""
    return (Verdict.SEEN if is_so else Verdict.DIFFERS), text


def on_node(view: View, node: Node, script: str) -> str:
    """What a node printed; FailedError if it ended with an error, or nobody got in."""
    try:
        return view.deploys.on_node(node.name, script).output
    except PortwayError as error:
        raise FailedError(error.message) from error
