"""A Stack in a file: what AWS said, for those who want to look at it without AWS.

It has no secret values, as the Stack has none. Pure except for ``read_saved``, which
reads the one file it is given.
"""

from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from portway.errors import PortwayError, Problem
from portway.model.stack import HOST_NAME, Stack
from portway.model.validation import model_problems

FORMAT = "portway stack 2"
"""Another one as soon as a field of the Stack changes."""


class _Head(BaseModel):
    format: str


class Saved(BaseModel):
    """A Stack, and what the inventory makes of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    format: str = FORMAT
    inventory: str
    """The inventory's file, relative to the project's folder."""
    groups: dict[str, tuple[str, ...]]
    """The groups of each node, in pyinfra's order: they say what settings it has."""
    stack: Stack


def to_json(saved: Saved) -> str:
    """The text of a file; ``from_json`` reverses it."""
    return saved.model_dump_json(indent=2) + "\n"


def stack_to_json(stack: Stack) -> str:
    """The text of a Stack alone, for programs; ``stack_from_json`` reverses it."""
    return TypeAdapter(Stack).dump_json(stack).decode()


def stack_from_json(text: str) -> Stack:
    """What ``stack_to_json`` made; ValueError if it is something else."""
    return TypeAdapter(Stack).validate_json(text)


def from_json(text: str, source: str) -> Saved:
    """What ``to_json`` made; ``source`` names the file in errors.

    Raises PortwayError if it is of another version or was edited to something else.
    """
    try:
        found = _Head.model_validate_json(text)
    except ValidationError as error:
        raise _refused(source, "it is not what portway save writes") from error
    if found.format != FORMAT:
        why = f'it is of another version, "{found.format}"; this one has "{FORMAT}"'
        raise _refused(source, why)
    try:
        saved = Saved.model_validate_json(text)
    except ValidationError as error:
        problems = model_problems(error, "", "", Saved.model_fields)
        raise _refused(source, "; ".join(map(str, problems[:3]))) from error
    if wrong := [str(problem) for problem in _contradictions(saved)]:
        raise _refused(source, "; ".join(wrong[:3]))
    return saved


def read_saved(file: Path) -> Saved:
    """The Stack that ``portway save`` wrote."""
    try:
        return from_json(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise PortwayError(
            f"{file} cannot be read ({reason})",
            do=f"write it first: portway save INVENTORY {file}",
        ) from error


def _contradictions(saved: Saved) -> Iterator[Problem]:
    """What no stack of AWS can be."""
    names = [node.name for node in saved.stack.nodes]
    for number, node in enumerate(saved.stack.nodes):
        place = f"stack.nodes.{number}"
        try:
            IPv4Address(node.address)
        except AddressValueError as error:
            yield Problem("", f"{place}.address", str(error))
        if names.index(node.name) != number:
            yield Problem("", f"{place}.name", f"{node.name} is there twice")
        if not HOST_NAME.fullmatch(node.name):  # it is a folder's name, too
            yield Problem("", f"{place}.name", "no node can be called that")
        if node.name not in saved.groups:
            yield Problem("", "groups", f"{node.name} is missing")


def _refused(source: str, why: str) -> PortwayError:
    return PortwayError(
        f"{source}: is no saved stack that can be read",
        why=why,
        do=f"save it again: portway save INVENTORY {source}",
    )
