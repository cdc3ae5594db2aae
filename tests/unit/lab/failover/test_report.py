"""The table and the picture of outcomes."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.failover import table
from lab.failover.command import DOCUMENT
from lab.failover.drawing import draw
from tests.unit.lab.failover.test_outcome import GOOD

BAD = replace(GOOD, name="worse", problems=["too long"])
ROUTE = replace(GOOD, kind="route")


def test_row_says_why_a_scenario_failed() -> None:
    assert table.row(GOOD).endswith("PASS")
    first, second = table.row(BAD).splitlines()
    assert first.endswith("FAIL")
    assert second.strip() == "too long"
    assert len(table.head()) == len(table.row(GOOD)) + len("verdict") - len("PASS")


def test_summary_names_what_failed() -> None:
    assert table.summary([GOOD]) == "1 of 1 scenarios passed"
    assert table.summary([GOOD, BAD]) == "1 of 2 scenarios passed; failed: worse"


def test_document_has_a_table_for_each_kind_of_address() -> None:
    text = table.markdown([GOOD, BAD, ROUTE])
    assert text.count("| scenario |") == 2
    assert "| worse | what happens | 1.20 | 1.20 | 1.20 | < 5 |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_document_is_changed_between_the_marks_only() -> None:
    text = f"before\n{table.START}\nold\n{table.END}\nafter\n"
    new = table.updated(text, [GOOD])
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "old" not in new
    assert table.updated(new, [GOOD]) == new


def test_missing_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="marks"):
        table.updated("no marks", [GOOD])


def test_document_has_the_marks_and_the_picture_beside_it() -> None:
    table.updated(DOCUMENT.read_text(), [GOOD])
    assert DOCUMENT.with_name(table.PICTURE).is_file()


def test_same_outcomes_make_the_same_picture(tmp_path: Path) -> None:
    files = tmp_path / "one.svg", tmp_path / "two.svg"
    for file in files:
        draw([GOOD, BAD, ROUTE], file)
    one, two = (file.read_bytes() for file in files)
    assert one == two
    assert b"worse" in one
    assert len(one) < 200_000


def test_scenario_that_never_ran_can_be_drawn(tmp_path: Path) -> None:
    draw([type(GOOD)("a", "b", "route", 5, None, BAD.times)], tmp_path / "a.svg")
