"""Who is asked before nodes are taken back, and what they are told."""

import builtins
from dataclasses import replace

import pytest
from pyinfra import logger

from portway.errors import PortwayError
from portway.model.deployed import Checkout, Deployed
from portway.run.command_line import Invocation
from portway.run.exclusive import GoingBack

NEWER = Deployed(
    Checkout("2.0.0", "b" * 40, 2_000),
    "",
    "",
    "deploys/site.py",
    "bob@host",
    3_000,
    True,
)
OURS = Checkout("1.0.0", "a" * 40, 1_000)
RECORDS = {"lb-2": NEWER.to_json(), "lb-1": NEWER.to_json(), "app-1": ""}


def going_back(invocation: Invocation, insists: bool = False) -> GoingBack:
    return GoingBack(replace(NEWER, checkout=OURS), invocation, insists=insists)


@pytest.fixture(autouse=True)
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said, instead of printing it."""
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", said.append)
    return said


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody answers, in this order."""
    given: list[str] = []
    monkeypatch.setattr(builtins, "input", lambda: given.pop(0))
    return given


def test_unattended_run_stops_and_names_both_and_the_option() -> None:
    with pytest.raises(PortwayError) as raised:
        going_back(Invocation()).judge(RECORDS)
    assert str(raised.value).splitlines() == [
        "lb-1, lb-2 would go back: this checkout is older, and does not know that "
        "commit (git fetch)",
        "  there: commit bbbbbbbbbbbb of 1970-01-01 00:33:20 UTC, deployed on "
        "1970-01-01 00:50:00 UTC by bob@host with deploys/site.py",
        "  here: commit aaaaaaaaaaaa of 1970-01-01 00:16:40 UTC",
        "  bring this checkout up to date (git pull), or add --data go_back=true to "
        "go back",
    ]


@pytest.mark.parametrize("answer", ["no", "y", ""])
def test_only_yes_goes_back(answers: list[str], answer: str) -> None:
    answers.append(answer)
    with pytest.raises(PortwayError, match="would go back"):
        going_back(Invocation(can_ask=True)).judge(RECORDS)


def test_nobody_is_asked_twice(answers: list[str]) -> None:
    answers.append("yes")
    judge = going_back(Invocation(can_ask=True)).judge
    judge(RECORDS)
    judge(RECORDS)


def test_another_deployment_meanwhile_is_asked_about_again(answers: list[str]) -> None:
    answers += ["yes", "no"]
    judge = going_back(Invocation(can_ask=True)).judge
    judge(RECORDS)
    with pytest.raises(PortwayError, match="carol@host"):
        judge(RECORDS | {"lb-1": replace(NEWER, who="carol@host").to_json()})


def test_dry_run_and_insisting_only_warn(warnings: list[str]) -> None:
    going_back(Invocation(is_dry=True)).judge(RECORDS)
    going_back(Invocation(), insists=True).judge(RECORDS)
    assert len(warnings) == 2


def test_same_commit_and_no_record_go_on(warnings: list[str]) -> None:
    same = replace(NEWER, checkout=OURS).to_json()
    going_back(Invocation()).judge({"lb-1": same, "lb-2": "", "app-1": "junk"})
    assert warnings == []
