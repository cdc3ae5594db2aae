"""The one error for what users can put right, and how its text is put together."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pyinfra.api.exceptions import PyinfraError

MOST_SHOWN = 50
"""How many problems an error tells of before it only counts."""


class PortwayError(PyinfraError):
    """A refusal or failure told in one paragraph: what, where, and the way out.

    It is a PyinfraError so that the pyinfra command prints its text and exits
    with status 1 instead of printing a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one entry, and the fix."""

    source: str
    """The file, or the place in AWS, that the entry stands in."""
    entry: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.entry, self.text) if part)


def refuse_if_any(problems: Iterable[Problem]) -> None:
    """Raise one PortwayError that tells all problems, one a line; none: return."""
    found = list(problems)
    lines = [str(problem) for problem in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"… and {len(found) - MOST_SHOWN} more")
    if lines:
        head = (
            [] if len(lines) == 1 else [f"{len(found)} problems; nothing was touched:"]
        )
        raise PortwayError("\n  ".join([*head, *lines]))


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say of a key that nothing reads, with the nearest one that is read."""
    choices = sorted(known)
    near = get_close_matches(key, choices, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(choices)}"
    return f"unknown key {shown(key)}; {hint}"


def model_problems(
    error: ValidationError, source: str, entry: str, known: Iterable[str]
) -> list[Problem]:
    """The problems that a pydantic model found in one entry, in its own order."""
    found = []
    for detail in error.errors():
        field = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "too_short" and detail["input"]:
            continue  # the list is not empty, its items were refused one by one
        if detail["type"] == "extra_forbidden":
            text = unknown_key(field, known)
        elif detail["type"] == "missing":
            text = f'"{field}" is missing; add it'
        else:
            text = f"{field}: {_reason(detail)}"
        found.append(Problem(source, entry, text))
    return found


_REASONS = {
    "int_type": "must be a whole number without quotes, not {given}",
    "int_from_float": "must be a whole number, not {given}",
    "float_type": "must be a number without quotes, not {given}",
    "bool_type": "must be true or false without quotes, not {given}",
    "string_type": "must be a text in quotes, not {given}",
    "string_too_long": "is too long; the most is {max_length} characters",
    "tuple_type": "must be a list in brackets, not {given}",
    "too_short": "is an empty list; list at least one, or leave the key out",
    "greater_than_equal": "{given} is too small; the least is {ge}",
    "less_than_equal": "{given} is too large; the most is {le}",
    "string_pattern_mismatch": "{given} does not have the form {pattern}",
    "multiple_of": "{given} is too fine; use a multiple of {multiple_of}",
    "literal_error": "{given} is not one of {expected}",
}
"""What to say of pydantic's error types, in the words of someone who edits a file."""


def _reason(detail: ErrorDetails) -> str:
    wording = _REASONS.get(detail["type"])
    if wording is None:
        return detail["msg"].removeprefix("Value error, ")
    return wording.format(given=shown(detail["input"]), **detail.get("ctx", {}))


def shown(value: object, longest: int = 60) -> str:
    """A value as an error shows it: on one line, and not too much of it."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    text = text.encode("unicode_escape").decode().replace("\\\\", "\\")
    return text if len(text) <= longest else text[:longest] + "…"
