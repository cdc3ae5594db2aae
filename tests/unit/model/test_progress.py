"""What one load balancer makes of what the other one tells."""

import pytest

from portway.model.progress import (
    FRESH_SECONDS,
    Progress,
    Step,
    Told,
    Verdict,
    judge,
)

OURS, OTHER = "0123456789abcdef", "fedcba9876543210"


def begun(configuration: str) -> Progress:
    return Progress(Step.BEGUN, configuration)


def serves(configuration: str) -> Progress:
    return Progress(Step.SERVES, configuration)


NOW = 1_800_000_000


@pytest.mark.parametrize("progress", [begun(OURS), serves(OTHER)])
@pytest.mark.parametrize("age", [0, FRESH_SECONDS])
def test_what_is_told_is_understood(progress: Progress, age: int) -> None:
    told = Told(progress, NOW - age)
    assert Told.parse(str(told), NOW) == told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "serves",
        f"serves {OURS}",
        f"serves {OURS}x {NOW}",
        f"served {OURS} {NOW}",
        f"serves  {OURS} {NOW}",
        f"serves {OURS} now",
        str(Told(serves(OURS), NOW - FRESH_SECONDS - 1)),
    ],
)
def test_anything_else_says_nothing(text: str) -> None:
    """Who told it long ago may be dead, or runs something else since."""
    assert Told.parse(text, NOW) is None


@pytest.mark.parametrize(
    ("first", "now", "at_first", "late"),
    [
        (None, serves(OURS), Verdict.GO_ON, Verdict.GO_ON),
        (serves(OTHER), serves(OURS), Verdict.GO_ON, Verdict.GO_ON),
        (None, None, Verdict.WAIT, Verdict.NOTHING),
        (serves(OTHER), serves(OTHER), Verdict.WAIT, Verdict.NOTHING),
        (begun(OTHER), begun(OTHER), Verdict.WAIT, Verdict.NOTHING),
        (begun(OURS), begun(OURS), Verdict.WAIT, Verdict.STOP),
        (serves(OTHER), begun(OURS), Verdict.WAIT, Verdict.STOP),
        (None, begun(OTHER), Verdict.LOOK_AGAIN, Verdict.LOOK_AGAIN),
        (begun(OURS), serves(OTHER), Verdict.LOOK_AGAIN, Verdict.LOOK_AGAIN),
        (serves(OTHER), None, Verdict.WAIT, Verdict.NOTHING),
    ],
)
def test_a_node_goes_by_what_the_other_tells(
    first: Progress | None, now: Progress | None, at_first: Verdict, late: Verdict
) -> None:
    assert judge(OURS, first, now, is_late=False) is at_first
    assert judge(OURS, first, now, is_late=True) is late
