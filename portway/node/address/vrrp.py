"""What keepalived says and does: its FIFO, and whether it holds the address.

The FIFO tells of a change at once, but what it told may be lost: keepalived closes it
when it is reloaded or killed, and this program may not have run. So a line counts only
as long as the FIFO stays open, and the kernel, in which keepalived puts the address on
this node before it says MASTER and takes it away before it says anything else, always.
"""

import os
import re
import select
from enum import StrEnum
from pathlib import Path

from portway.node.address.config import FIFO

KEEPALIVED_PID = Path("/run/keepalived.pid")
KERNEL_ADDRESSES = Path("/proc/net/fib_trie")
LINE = re.compile(r'INSTANCE "[^"]*" ([A-Z_]+) ([0-9]+)')


class State(StrEnum):
    """keepalived's state on this node."""

    MASTER = "MASTER"
    BACKUP = "BACKUP"
    FAULT = "FAULT"
    STOP = "STOP"
    """It does not run."""


class Notifications:
    """keepalived's notify FIFO, made if it is missing and opened anew if replaced."""

    def __init__(self, path: Path = FIFO, *, priority: int = 0) -> None:
        """``priority`` is what the keepalived that runs told a reader before this."""
        self._path = path
        self._file = -1
        self._rest = b""
        self.told: State | None = None
        """The last state that a line told of, as long as that line counts."""
        self._open()
        self.priority = priority
        """The priority that the last line told of, in the same way; 0 for none."""

    def wait(self, seconds: float) -> list[str]:
        """The words that lines tell, as soon as there are any; [] after a while.

        They are those of ``State`` and others, such as ``MASTER_RX_LOWER_PRI``: another
        node, of a lower priority, thinks itself master.
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
            self.told = State(word) if word in tuple(State) else self.told
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
        self._rest, self.told, self.priority = b"", None, 0

    def _is_replaced(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._file)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def present_state(
    address: str,
    told: State | None,
    *,
    pid_file: Path = KEEPALIVED_PID,
    kernel: Path = KERNEL_ADDRESSES,
) -> State:
    """Keepalived's state from what is so now, and the last line that still counts."""
    if not is_running(pid_file):
        return State.STOP
    if told not in (None, State.MASTER):
        return told
    if not has_address(address, kernel):
        return State.BACKUP
    return State.MASTER


def is_running(pid_file: Path = KEEPALIVED_PID) -> bool:
    """Whether keepalived's main process lives."""
    try:
        pid = int(pid_file.read_text())
        return Path(f"/proc/{pid}/comm").read_text().strip() == "keepalived"
    except (OSError, ValueError):
        return False


def has_address(address: str, kernel: Path = KERNEL_ADDRESSES) -> bool:
    """Whether an IPv4 address is one of this node's own."""
    pattern = rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL"
    return re.search(pattern, kernel.read_text()) is not None


def process_identity(pid_file: Path = KEEPALIVED_PID) -> str:
    """Something that tells this keepalived process from every other one."""
    try:
        pid = int(pid_file.read_text())
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, ValueError, IndexError):
        return ""
    return f"{pid} {started}"
