"""Numbers and times of HAProxy files."""

import re

from portway.haproxy_files.sections import Section
from portway.model.durations import milliseconds

UNIT = "ms"
"""The unit of a time that has none."""


def number(text: str) -> int | None:
    """A whole number that HAProxy may have; None for all else."""
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None


def shown_time(section: Section, kind: str, older: str) -> str:
    """A timeout of a section in seconds, whichever of its names gives it."""
    lines = [section.last("timeout", kind), section.last(older)]
    found = [line for line in lines if line and len(line.words) > 1]
    if not found:
        return "none"
    words = max(found, key=lambda line: line.number).words
    length = milliseconds(words[-1], UNIT)
    return f"{length / 1000:,g} s" if length is not None else words[-1]
