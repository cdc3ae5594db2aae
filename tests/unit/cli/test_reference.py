"""The reference says what the code says."""

from pathlib import Path

import pytest

from portway.cli.reference import TABLES, updated
from portway.errors import PortwayError

REFERENCE = Path(__file__).parents[3] / "docs" / "reference.md"


def test_reference_is_current() -> None:
    text = REFERENCE.read_text()
    assert updated(text) == text, "run: portway reference"


@pytest.mark.parametrize(
    ("row", "stale"),
    [
        ("| `threads` | `2` |", "| `threads` | `4` |"),
        ('| `mode` | `"tcp"` |', '| `mode` | `"http"` |'),
        ("| `portway_address_moves_total` | counter |", "| `moves_total` | gauge |"),
        ("| `portway save INVENTORY [FILE]` |", "| `portway keep INVENTORY` |"),
        ("| `render` | `--to FOLDER` |", "| `render` | `--into FOLDER` |"),
    ],
)
def test_stale_table_is_found(row: str, stale: str) -> None:
    text = REFERENCE.read_text()
    assert row in text
    assert updated(text.replace(row, stale)) == text


@pytest.mark.parametrize("name", TABLES)
def test_missing_mark_is_an_error(name: str) -> None:
    text = REFERENCE.read_text().replace(f"<!-- {name} -->", "")
    with pytest.raises(PortwayError, match=name):
        updated(text)
