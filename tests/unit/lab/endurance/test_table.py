"""The tables of a long run."""

import pytest

from lab.endurance import table
from lab.endurance.command import DOCUMENT
from lab.endurance.records import Change, from_text
from tests.unit.lab.endurance.test_judgement import TEXT

RUN = from_text(TEXT)


def test_line_says_when_each_load_balancer_used_a_node_and_when_it_served() -> None:
    stages = {"lb-1": 102.5, "lb-2": 101.0}
    change = Change("nodes", "a comes", 90.0, 110.0, 100.0, 103.0, ("a",), (), False)
    change.stages = stages
    text = table.line(1, change)
    assert text.split("  ")[-3:] == ["lb-1 2.50 s", "lb-2 1.00 s", "served 3.00 s"]
    change.problem = "it broke"
    assert table.line(1, change).endswith("FAILED: it broke")


def test_every_figure_stands_with_what_is_promised() -> None:
    text = table.markdown(RUN)
    assert "| reloads of HAProxy | 0 | lb-1 0; lb-2 0 |" in text
    assert "| streams of nodes that stay that were cut | 0 | 0 |" in text
    assert "| streams cut by anything else | 0 | 0 |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {4}


def test_document_is_changed_between_the_marks_only() -> None:
    text = f"before\n{table.START}\nof last year\n{table.END}\nafter\n"
    new = table.updated(text, RUN)
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "of last year" not in new
    assert table.updated(new, RUN) == new


def test_missing_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="marks"):
        table.updated("no marks", RUN)


def test_document_has_the_marks() -> None:
    table.updated(DOCUMENT.read_text(), RUN)
