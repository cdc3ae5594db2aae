"""Times as people write them into files: a number and its unit."""

import re

MILLISECONDS = {
    "us": 0.001,
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
"""How long a unit is."""


def milliseconds(text: str, without_unit: str = "") -> float | None:
    """How long a text says; None if it is no time.

    ``without_unit`` is the unit of a number alone, which is no time if that is empty.
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]+)?)(us|ms|s|m|h|d|w|)", text)
    unit = (match[2] or without_unit) if match else ""
    return float(match[1]) * MILLISECONDS[unit] if match and unit else None
