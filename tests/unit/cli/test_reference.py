"""README.md says what the code says."""

from pathlib import Path

import pytest

from portway.cli.reference import updated

README = Path(__file__).parents[3] / "README.md"


def test_reference_in_the_readme_is_current() -> None:
    text = README.read_text()
    assert updated(text) == text, "run: python -m portway.cli.reference README.md"


def test_stale_reference_is_found() -> None:
    text = README.read_text().replace("| `threads` | `2` |", "| `threads` | `4` |")
    assert updated(text) != text


def test_missing_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="settings"):
        updated("no marks")
