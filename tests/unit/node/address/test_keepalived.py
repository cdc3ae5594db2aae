"""What keepalived's FIFO and the kernel tell the address mover."""

import os
from pathlib import Path

import pytest

from portway.node.address.keepalived import (
    Notifications,
    State,
    is_running,
    present_state,
)

ADDRESS = "203.0.113.1"
"""What keepalived has given this node."""


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    return tmp_path / "run" / "vrrp.fifo"


def keepalived(fifo: Path) -> int:
    return os.open(fifo, os.O_RDWR | os.O_NONBLOCK)


def test_fifo_is_made_readable_by_its_owner_only(fifo: Path) -> None:
    Notifications(fifo)
    assert fifo.is_fifo()
    assert fifo.stat().st_mode & 0o777 == 0o600


def test_lines_tell_the_state_also_in_pieces(fifo: Path) -> None:
    notifications = Notifications(fifo)
    writer = keepalived(fifo)
    os.write(writer, b'INSTANCE "portway" BACKUP 150\nINSTANCE "por')
    assert notifications.wait(1) == ["BACKUP"]
    os.write(writer, b'tway" MASTER 151\nINSTANCE "portway" MASTER_RX_LOWER_PRI 151\n')
    assert notifications.wait(1) == ["MASTER", "MASTER_RX_LOWER_PRI"]
    assert notifications.state is State.MASTER
    assert notifications.priority == 151
    os.write(writer, b'INSTANCE "portway" MASTER_PRIORITY 131\n')
    assert notifications.wait(1) == ["MASTER_PRIORITY"]
    assert (notifications.state, notifications.priority) == (State.MASTER, 131)
    os.close(writer)


def test_priority_that_an_earlier_reader_heard_counts_while_the_fifo_is_open(
    fifo: Path,
) -> None:
    Notifications(fifo)
    writer = keepalived(fifo)
    notifications = Notifications(fifo, priority=131)
    assert notifications.wait(0) == []
    assert notifications.priority == 131
    os.close(writer)
    assert notifications.wait(1) == []
    assert notifications.priority == 0


def test_what_was_said_before_the_reader_came_is_heard(fifo: Path) -> None:
    Notifications(fifo)
    writer = keepalived(fifo)
    os.write(writer, b'INSTANCE "portway" MASTER 151\n')
    assert Notifications(fifo).wait(1) == ["MASTER"]
    os.close(writer)


@pytest.mark.parametrize("noise", [b"\n", b"GROUP x MASTER 1\n", b"\xff\xfe\n"])
def test_other_lines_are_passed_over(fifo: Path, noise: bytes) -> None:
    notifications = Notifications(fifo)
    writer = keepalived(fifo)
    os.write(writer, noise)
    assert notifications.wait(0.1) == []
    os.close(writer)


def test_line_counts_no_more_when_keepalived_has_closed_the_fifo(fifo: Path) -> None:
    notifications = Notifications(fifo)
    writer = keepalived(fifo)
    os.write(writer, b'INSTANCE "portway" BACKUP 150\n')
    notifications.wait(1)
    os.close(writer)
    assert notifications.wait(1) == []
    assert notifications.state is None
    assert notifications.wait(0.05) == [], "and it does not spin"


def test_fifo_that_was_replaced_is_read(fifo: Path) -> None:
    notifications = Notifications(fifo)
    old = keepalived(fifo)
    os.write(old, b'INSTANCE "portway" BACKUP 150\n')
    assert notifications.wait(1) == ["BACKUP"]
    fifo.unlink()
    os.mkfifo(fifo)
    notifications.wait(0)
    assert notifications.state is None, "what was said there counts no more"
    writer = keepalived(fifo)
    os.write(writer, b'INSTANCE "portway" MASTER 151\n')
    assert notifications.wait(1) == ["MASTER"]
    os.close(writer)


def running(tmp_path: Path, pid: int) -> Path:
    path = tmp_path / "keepalived.pid"
    path.write_text(f"{pid}\n")
    return path


def test_process_of_another_name_is_not_keepalived(tmp_path: Path) -> None:
    assert not is_running(running(tmp_path, os.getpid()))
    assert not is_running(tmp_path / "missing.pid")


@pytest.mark.parametrize(
    ("told", "address", "expected"),
    [
        (None, "203.0.113.1", State.MASTER),
        (None, "203.0.113.2", State.BACKUP),
        (State.MASTER, "203.0.113.1", State.MASTER),
        (State.MASTER, "203.0.113.2", State.BACKUP),
        (State.BACKUP, "203.0.113.1", State.BACKUP),
        (State.FAULT, "203.0.113.2", State.FAULT),
    ],
)
def test_state_is_what_kernel_and_line_agree_on(
    monkeypatch: pytest.MonkeyPatch,
    told: State | None,
    address: str,
    expected: State,
) -> None:
    monkeypatch.setattr("portway.node.address.keepalived.is_running", lambda _: True)
    assert present_state(address, told, has=ADDRESS.__eq__) is expected


def test_keepalived_that_died_as_master_is_no_master(
    tmp_path: Path,
) -> None:
    found = present_state(
        ADDRESS,
        State.MASTER,
        pid_file=tmp_path / "missing.pid",
        has=ADDRESS.__eq__,
    )
    assert found is State.STOP
