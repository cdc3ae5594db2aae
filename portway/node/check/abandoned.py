"""Takes back what a mover that is gone has added to this node's VRRP priority.

After a fail-over the mover of the node that took the address keeps it there until the
other one claims it. If that mover died, its share would stay, and the address would go
there and back for ever: each claim ends when the address has arrived.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from portway.contract.paths import STANDING, STATUS
from portway.node.host import write_whole

GONE = 60.0
"""Seconds without a report, which it writes every few seconds, also between calls."""

log = logging.getLogger("check")


class Abandoned:
    """Looks whether the mover still reports; the clock is passed in."""

    def __init__(
        self,
        status: Path = STATUS,
        standing: Path = STANDING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status, self._standing, self._clock = status, standing, clock
        self._seen = -1
        self._since = clock()

    def look(self) -> bool:
        """Whether something was taken back."""
        now, seen = self._clock(), _changed(self._status)
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < GONE or not self._stands():
            return False
        log.warning("the mover is gone: what it added to the priority is taken back")
        write_whole(self._standing, "0\n")
        return True

    def _stands(self) -> bool:
        try:
            return self._standing.read_text().strip() not in ("", "0")
        except OSError:
            return False


def _changed(path: Path) -> int:
    """When a file was last written; a step of the clock is no change."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
