"""What pydantic finds wrong with an entry, in the words of someone who edits a file."""

from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from portway.errors import Problem, shown, unknown_key


def model_problems(
    error: ValidationError,
    source: str,
    entry: str,
    known: Iterable[str],
    places: Mapping[str, str] | None = None,
) -> list[Problem]:
    """The problems that a pydantic model found in one entry, in its own order.

    ``places`` are more exact sources of fields.
    """
    found = []
    for detail in error.errors():
        field, guarded = ".".join(str(part) for part in detail["loc"]), ""
        if detail["type"] == "too_short" and detail["input"]:
            continue  # the list is not empty; its items were refused one by one
        if detail["type"] == "extra_forbidden":
            text = unknown_key(field, known)
        elif detail["type"] == "missing":
            text = f'"{field}" is missing; add it'
        else:
            text = f"{field}: {_reason(detail, shown(detail['input']))}"
            guarded = f"{field}: {_guarded_reason(detail)}"
        place = (places or {}).get(field.split(".")[0], source)
        found.append(Problem(place, entry, text, guarded))
    return found


SHORT = 3
"""Characters of a value that says nothing, and that any text has."""

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
"""By pydantic's error type."""


def _reason(detail: ErrorDetails, given: str) -> str:
    wording = _REASONS.get(detail["type"])
    if wording is None:
        return detail["msg"].removeprefix("Value error, ")
    return wording.format(given=given, **detail.get("ctx", {}))


def _guarded_reason(detail: ErrorDetails) -> str:
    """The reason without the value that was given, whatever it is."""
    value = detail["input"]
    text = _reason(detail, "what is there")
    for written in (shown(value), f'"{value}"'):  # how the checks of fields show it
        text = text.replace(written, "what is there")
    if len(str(value)) > SHORT and str(value) in text:
        return "what is there is not what it takes"
    return text
