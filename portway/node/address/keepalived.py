"""keepalived on this node: its notify FIFO, and whether it holds the address.

The FIFO reports a change at once, but a report may be lost: keepalived closes the FIFO
when it is reloaded or killed, and this program may not have been running. So a line
counts only while the FIFO stays open. The kernel always counts: keepalived adds the
address to this node before it says MASTER, and removes it before it says anything else.
"""

import os
import re
import select
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from portway.contract.paths import FIFO
from portway.node.host import has_address

KEEPALIVED_PID = Path("/run/keepalived.pid")
LINE = re.compile(r'INSTANCE "[^"]*" ([A-Z_]+) ([0-9]+)')


class State(StrEnum):
    """keepalived's state on this node."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"
    """It does not run."""


class Notifications:
    """keepalived's notify FIFO: created if missing, reopened if replaced."""

    def __init__(self, path: Path = FIFO, *, priority: int = 0) -> None:
        """``priority`` is what the running keepalived reported to an earlier reader."""
        self._path = path
        self._file = -1
        self._rest = b""
        self.state: State | None = None
        """The last state that keepalived reported, while that report counts."""
        self._open()
        self.priority = priority
        """The priority of the last report, in the same way; 0 for none."""

    def wait(self, seconds: float) -> list[str]:
        """The words that lines report, as soon as there are any; [] after a while.

        They are those of ``State`` and others, such as ``MASTER_RX_LOWER_PRI``: another
        node, of a lower priority, considers itself master.
        """
        if self._is_replaced():
            self._open()
        poll = select.poll()
        poll.register(self._file, select.POLLIN)
        if not poll.poll(max(0.0, seconds) * 1000):
            return []
        try:
            data = os.read(self._file, 65536)
        except BlockingIOError:
            return []
        if not data:  # every writer has closed it
            self._open()
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        matches = (LINE.fullmatch(line.decode(errors="replace")) for line in lines)
        found = [(match[1], int(match[2])) for match in matches if match]
        for word, priority in found:
            self.state = State(word) if word in tuple(State) else self.state
            self.priority = priority
        return [word for word, _ in found]

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not self._path.is_fifo():
            self._path.unlink(missing_ok=True)
            os.mkfifo(self._path, 0o600)
        self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        self._rest, self.state, self.priority = b"", None, 0

    def _is_replaced(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._file)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def present_state(
    address: str,
    reported: State | None,
    *,
    pid_file: Path = KEEPALIVED_PID,
    has: Callable[[str], bool] = has_address,
) -> State:
    """Keepalived's state, from the kernel and the last report that still counts."""
    if not is_running(pid_file):
        return State.STOP
    if reported not in (None, State.MASTER):
        return reported
    if not has(address):
        return State.BACKUP
    return State.MASTER


def is_running(pid_file: Path = KEEPALIVED_PID) -> bool:
    """Whether keepalived's main process is alive."""
    try:
        pid = int(pid_file.read_text())
        return Path(f"/proc/{pid}/comm").read_text().strip() == "keepalived"
    except (OSError, ValueError):
        return False


def process_identity(pid_file: Path = KEEPALIVED_PID) -> str:
    """Something that distinguishes this keepalived process from every other one."""
    try:
        pid = int(pid_file.read_text())
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, ValueError, IndexError):
        return ""
    return f"{pid} {started}"
