"""Times as cookbooks write them."""

import re

from portway.model.durations import milliseconds


def seconds(value: object, unit: str) -> float | None:
    """A time in seconds; ``unit`` counts if it has none, empty for none at all."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if lacks_unit(value) and not unit:
        return None
    found = milliseconds(str(value).strip(), unit or "s")
    return round(found / 1000, 6) if found is not None else None


def lacks_unit(value: object) -> bool:
    """Whether it is a number alone; 0 is the same in any unit."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    text = str(value).strip()
    return bool(re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)) and float(text) != 0


def unit_at(path: str) -> str:
    """The unit of attributes at a path; empty if it cannot be told.

    Those of the public cookbooks go into HAProxy's file as they are.
    """
    return "ms" if path.startswith("haproxy.") else ""
