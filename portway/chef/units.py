"""Times as cookbooks write them."""

import math
import re

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"


def seconds(value: object, unit: str) -> float | None:
    """A time in seconds; ``unit`` counts if it has none, empty for none at all."""
    if lacks_unit(value) and not unit:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = re.fullmatch(_NUMBER + r"(ms|s|m|h|d)?", str(value).strip())
    found = float(match[1]) * UNITS[match[2] or unit or "s"] if match else math.inf
    return round(found, 6) if math.isfinite(found) else None


def lacks_unit(value: object) -> bool:
    """Whether it is a number alone; 0 is the same in any unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    text = str(value).strip()
    return bool(re.fullmatch(_NUMBER, text)) and float(text) != 0


def unit_at(path: str) -> str:
    """The unit of attributes at a path; empty if it cannot be told.

    Those of the public cookbooks go into HAProxy's file as they are.
    """
    return "ms" if path.startswith("haproxy.") else ""
