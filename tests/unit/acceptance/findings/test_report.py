"""The report is Markdown that says what failed."""

import json
from dataclasses import replace

import pytest

from acceptance.account.calls import Answer
from acceptance.findings.observing import Observation
from acceptance.findings.report import Report, Step, as_json_lines, headline, written
from acceptance.findings.verdict import Verdict
from acceptance.plan.items import ITEMS

ANSWER = Answer("owner", "ec2:CreateTags", 0.2, 412, "DryRunOperation", "would", {})
GOOD = Report(
    facts={"region": "us-east-1"},
    steps=[Step("the stack", 700.2, ok=True, text="in a | b\nand c")],
    observations=[Observation("dry-run", Verdict.SEEN, "as said", 1.0, (ANSWER,))],
    not_seen=["rules"],
    problems=[],
)


def test_tables_are_whole_whatever_the_texts_have() -> None:
    lines = written(GOOD).splitlines()
    assert "| the stack | 700 | ok | in a \\| b and c |" in lines
    assert "| region | us-east-1 |" in lines
    assert any(line.startswith("| A call with `DryRun` …") for line in lines)


def test_every_item_is_in_the_report() -> None:
    text = written(GOOD)
    assert [key for key in ITEMS if f"(`{key}`)" not in text] == []
    assert "cannot be, because it takes a second account" in text


def test_good_run_is_as_expected() -> None:
    assert GOOD.is_as_expected
    assert "All was as expected." in written(GOOD)


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, problems=["it broke"]),
        replace(GOOD, steps=[Step("the stack", 1, ok=False)]),
        replace(GOOD, observations=[Observation("rules", Verdict.DIFFERS, "", 1)]),
    ],
)
def test_anything_bad_makes_it_not_as_expected(bad: Report) -> None:
    assert not bad.is_as_expected
    assert "All was as expected." not in written(bad)


def test_headline_says_what_was_not_as_expected() -> None:
    observations = [
        Observation("rules", Verdict.DIFFERS, "", 1),
        Observation("dry-run", Verdict.UNCLEAR, "", 1),
    ]
    steps = [Step("the stack updated", 1, ok=False)]
    text = headline(replace(GOOD, steps=steps, observations=observations))
    assert text == (
        "Failed: the stack updated. AWS differs from docs/aws.md: rules. "
        "1 line could not be judged: dry-run."
    )


def test_unclear_observation_fails_no_run() -> None:
    unclear = Observation("rules", Verdict.UNCLEAR, "no answer", 1)
    assert replace(GOOD, observations=[unclear]).is_as_expected


def test_answers_are_json_lines() -> None:
    (line,) = map(json.loads, as_json_lines(GOOD.observations).splitlines())
    assert line["item"] == "dry-run"
    assert line["answer"]["code"] == "DryRunOperation"
