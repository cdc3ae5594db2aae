"""Who makes a lab's stack is decided once."""

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.lifecycle.remembered import makes_stack, remember_stack
from lab.plan.names import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("PORTWAY_LAB_STATE", str(tmp_path))
    lab = Lab("one")
    lab.directory.mkdir()
    return lab


def test_lab_without_a_stack_stays_so_when_it_is_brought_up_again(lab: Lab) -> None:
    remember_stack(lab, no_stack=True, asked_of_it=False)
    remember_stack(lab, no_stack=False, asked_of_it=False)
    assert not makes_stack(lab)


def test_lab_with_a_stack_cannot_lose_it(lab: Lab) -> None:
    remember_stack(lab, no_stack=False, asked_of_it=True)
    with pytest.raises(LabError, match="take it down before 'up --no-stack'"):
        remember_stack(lab, no_stack=True, asked_of_it=False)
    assert makes_stack(lab)


def test_lab_of_an_older_checkout_has_a_stack(lab: Lab) -> None:
    lab.hosts.mkdir()
    with pytest.raises(LabError, match="has a stack of its own"):
        remember_stack(lab, no_stack=True, asked_of_it=False)


def test_nobody_elses_stack_is_changed(lab: Lab) -> None:
    remember_stack(lab, no_stack=True, asked_of_it=False)
    with pytest.raises(LabError, match="update yours with CloudFormation"):
        remember_stack(lab, no_stack=False, asked_of_it=True)
