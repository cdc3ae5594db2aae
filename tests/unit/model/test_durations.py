"""Times with units, as HAProxy's files, cookbooks and people have them."""

import pytest

from portway.model.durations import milliseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50us", 0.05),
        ("500ms", 500),
        ("1.5s", 1_500),
        ("10m", 600_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("2w", 1_209_600_000),
    ],
)
def test_number_with_a_unit_is_a_time(text: str, expected: float) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "1x", "-1s", "1 s", "1.s", "50"])
def test_all_else_is_none(text: str) -> None:
    assert milliseconds(text) is None


def test_number_alone_has_the_unit_of_its_file() -> None:
    assert milliseconds("50", "ms") == 50
    assert milliseconds("50", "s") == 50_000
