"""Which stacks are there, by whatever name somebody created them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

Described = Mapping[str, Any]
"""A stack as CloudFormation describes it."""

_OUTPUT = "AddressKind"
"""An output that stacks of the template have, and others do not."""


def stacks(described: Iterable[Described]) -> tuple[Described, ...]:
    """The stacks whose machines a lab can have as hosts, the one created first first.

    A stack of something else, such as a network, does not count.
    """
    ours = [stack for stack in described if _OUTPUT in outputs(stack)]
    return tuple(sorted(ours, key=lambda stack: stack["CreationTime"]))


def outputs(stack: Described) -> dict[str, str]:
    """A stack's outputs."""
    return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}


def too_many(names: tuple[str, ...]) -> str:
    """What to say about stacks that get no hosts; empty if all of them do."""
    first, *others = names or ("",)
    if not others:
        return ""
    return (
        f"stacks {' and '.join(names)} exist, but a lab has hosts for only one: they "
        f"stay with {first}; delete {' and '.join(others)}, or use another lab"
    )
