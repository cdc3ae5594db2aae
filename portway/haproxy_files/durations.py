"""Numbers and times of HAProxy files."""

import re

from portway.haproxy_files.sections import Section

UNITS = {
    "us": 0.001,
    "ms": 1,
    "": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
"""In milliseconds, which a number without a unit is, too."""


def number(text: str) -> int | None:
    """A whole number that HAProxy may have; None for all else."""
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None


def milliseconds(text: str) -> float | None:
    """How long a text of HAProxy's is; None if it is no time."""
    match = re.fullmatch(r"([0-9]{1,12})(us|ms|s|m|h|d|)", text)
    return int(match[1]) * UNITS[match[2]] if match else None


def shown_time(section: Section, kind: str, older: str) -> str:
    """A timeout of a section in seconds, whichever of its names gives it."""
    lines = [section.last("timeout", kind), section.last(older)]
    found = [line for line in lines if line and len(line.words) > 1]
    if not found:
        return "none"
    words = max(found, key=lambda line: line.number).words
    length = milliseconds(words[-1])
    return f"{length / 1000:,g} s" if length is not None else words[-1]
