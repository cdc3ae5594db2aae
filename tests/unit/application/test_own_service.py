"""An application node that takes itself out of service, as its own run has it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from portway.agent.leaving import come_back
from portway.application import own_service
from portway.application.own_service import ByItself
from portway.contract.paths import OUT_OF_SERVICE
from portway.errors import PortwayError
from portway.model.stack import Role
from tests.unit import samples

CLUSTER = samples.cluster()
NODE = CLUSTER.stack.with_role(Role.APPLICATION)[0]


def refuse() -> None:
    raise PortwayError("the turn is lost")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The mark of a node that is out of service; scripts are run on this machine."""
    mark = tmp_path / "out-of-service"

    def run(_: object, script: str) -> None:
        here = script.replace(str(OUT_OF_SERVICE), str(mark))
        subprocess.run(["sh", "-c", here], check=True)

    monkeypatch.setattr(own_service, "run", run)
    return mark


def itself(may_begin: Callable[[], None] = lambda: None) -> ByItself:
    return ByItself(
        CLUSTER,
        NODE,
        frozenset({9001}),
        runs=True,
        is_well=True,
        may_begin=may_begin,
    )


def test_node_that_was_begun_with_does_not_come_back_as_it_was(mark: Path) -> None:
    mark.touch()
    itself().begin()
    come_back(print, mark)
    assert mark.read_text() == "changing\n"


def test_node_that_is_in_service_gets_no_mark(mark: Path) -> None:
    itself().begin()
    assert not mark.exists()


def test_node_whose_turn_is_lost_stays_as_it_was(mark: Path) -> None:
    mark.touch()
    with pytest.raises(PortwayError, match="lost"):
        itself(refuse).begin()
    assert mark.read_text() == ""
