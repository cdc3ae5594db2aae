"""Times as cookbooks write them."""

import re

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(value: object, unit: str) -> float | None:
    """A time in seconds; ``unit`` counts if it has none, empty for none at all."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?", str(value).strip())
    if not match or not (match[2] or unit):
        return None
    return round(float(match[1]) * UNITS[match[2] or unit], 6)
