"""When the master of record takes the address back."""

from dataclasses import replace
from pathlib import Path

import pytest

from portway.node.address import standing
from portway.node.address.keepalived import State
from portway.node.address.mover import Mover
from portway.node.address.standing import FailBack, take_part
from tests.unit.node.address.test_mover import CONFIG, FakeCloud

CLAIM = 2


@pytest.mark.parametrize(
    ("fail_back", "asked", "due_after"),
    [(0.0, False, 0), (60.0, False, 60), (60.0, True, 0), (None, True, 0)],
)
def test_address_is_due_after_the_time_set_or_when_somebody_asks(
    fail_back: float | None, asked: bool, due_after: int
) -> None:
    now = 100.0
    wait = FailBack(replace(CONFIG, fail_back=fail_back), lambda: now)
    due = []
    for _ in range(70):
        due.append(wait.is_due(can=True, asked=asked))
        now += 1
    assert due.index(True) == due_after


def test_address_is_never_due_by_itself_if_that_is_set() -> None:
    times = iter((0.0, 1e6))
    wait = FailBack(replace(CONFIG, fail_back=None), lambda: next(times))
    assert not wait.is_due(can=True, asked=False)
    assert not wait.is_due(can=True, asked=False)


def test_node_must_serve_all_the_time() -> None:
    now = 0.0
    wait = FailBack(replace(CONFIG, fail_back=60.0), lambda: now)
    assert not wait.is_due(can=True, asked=False)
    now = 59.0
    assert not wait.is_due(can=False, asked=True)
    now = 60.0
    assert not wait.is_due(can=True, asked=False)
    now = 120.0
    assert wait.is_due(can=True, asked=False)


def test_request_is_granted_once_the_node_serves_and_forgotten_when_it_has_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TAKE_BACK", "VERDICT", "TRANSFER"):
        monkeypatch.setattr(standing, name, tmp_path / name)
    healthy = False
    monkeypatch.setattr(standing, "is_healthy", lambda: healthy)
    monkeypatch.setattr(standing, "is_handed_over", lambda: False)
    config = replace(CONFIG, claim=CLAIM, fail_back=None)
    mover = Mover(config, FakeCloud(), clock=lambda: 1.0, wall_clock=lambda: 1.0)
    wait = FailBack(config, mover.clock)
    (tmp_path / "TAKE_BACK").touch()
    mover.hear(State.BACKUP)
    take_part(mover, wait)
    assert (mover.memory.standing, mover.memory.waits_since) == (0, 0.0)
    healthy = True
    take_part(mover, wait)
    assert (mover.memory.standing, mover.memory.waits_since) == (CLAIM, 1.0)
    mover.hear(State.MASTER)
    take_part(mover, wait)
    assert (tmp_path / "TAKE_BACK").exists()
    assert mover.memory.standing == CLAIM, "until the address is here"
    mover.memory.arrived = True
    take_part(mover, wait)
    assert not (tmp_path / "TAKE_BACK").exists()


@pytest.mark.parametrize(
    ("text", "healthy"),
    [("0\n\n", True), ("-20\nwhy\n", False), ("-254\n", False), ("", False)],
)
def test_health_is_what_the_check_has_written(
    tmp_path: Path, text: str, healthy: bool
) -> None:
    path = tmp_path / "verdict"
    path.write_text(text)
    assert standing.is_healthy(path) is healthy
    assert not standing.is_healthy(tmp_path / "none")
