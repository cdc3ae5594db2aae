"""Ctrl-C, SIGTERM and SIGHUP: they end a run between two calls, never within one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from acceptance.terminal.waiting import say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody ends the run. No handler of errors may catch it by accident."""


class Interrupts:
    """What a signal does at the moment."""

    def __init__(self) -> None:
        self._depth = 0
        self._came: int | None = None
        self._is_deleting = False

    def install(self) -> None:
        """Have signals raise Interrupted from now on."""
        for number in SIGNALS:
            signal.signal(number, self._take)

    def delete_whatever_comes(self) -> None:
        """From now on a signal ends nothing: everything is being deleted."""
        self._is_deleting, self._came = True, None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what happens inside end, and raise Interrupted after it."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._depth == 0 and self._came is not None:
            raise self._raised()

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._is_deleting:
            say("everything that was made is being deleted: please wait")
            return
        self._came = number
        if self._depth == 0:
            raise self._raised()

    def _raised(self) -> Interrupted:
        number, self._came, self._is_deleting = self._came, None, True
        return Interrupted(signal.Signals(number or signal.SIGINT).name)
