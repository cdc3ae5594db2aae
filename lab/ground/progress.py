"""Progress for people: one line per step, with the seconds since the start."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

_started = time.monotonic()

REPEAT_AFTER = 5.0
"""Seconds of silence after which a step is reported as still running."""


def say(text: str) -> None:
    """Print one line of progress to standard error."""
    elapsed = time.monotonic() - _started
    print(f"[{elapsed:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str, detail: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Announce a step, and say so again every few seconds while it lasts."""
    say(f"{text} …")
    done = Event()

    def repeat() -> None:
        while not done.wait(REPEAT_AFTER):
            more = detail()
            say(f"{text}, still running" + (f": {more}" if more else ""))

    ticker = Thread(target=repeat, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
