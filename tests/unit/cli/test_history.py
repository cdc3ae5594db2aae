"""What people write for a time, and how they read what happened."""

import time
from datetime import UTC, datetime

import click
import pytest

from portway.cli.history import Since, line
from portway.run.history import Event

RUN = Event(
    when=1_795_000_000,
    kind="run",
    nodes=("lb-1", "lb-2"),
    who="anna@desk",
    text="deploys/lb.py",
    result="failed",
    seconds=7,
    checkout="commit 1",
    changes={"lb-1": ("Write a", "Run b")},
)


def test_times_are_ago_or_a_date() -> None:
    ago = Since().convert("2h", None, None)
    assert abs(time.time() - 7200 - ago) < 5
    day = Since().convert("2026-11-27", None, None)
    assert datetime.fromtimestamp(day, UTC).isoformat() == "2026-11-27T00:00:00+00:00"
    assert Since().convert("2026-11-27T10:00+02:00", None, None) == day + 8 * 3600


@pytest.mark.parametrize("text", ["yesterday", "2x", "-2h", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither like 2h or 7d nor a date"):
        Since().convert(text, None, None)


def test_run_says_who_what_how_and_what_it_changed() -> None:
    assert line(RUN).plain.splitlines() == [
        "2026-11-18 11:06:40  anna@desk: deploys/lb.py: failed in 7 s (lb-1, lb-2)",
        "    commit 1",
        "    lb-1: Write a; Run b",
    ]
