"""Waiting for AWS: bounded, and it says what for."""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO, TypeVar

from portway.errors import PortwayError

SHORTEST, LONGEST = 0.5, 10.0
"""Seconds between two looks: it begins with the shorter ones."""
TELL_SECONDS = 15.0

T = TypeVar("T")


def say(line: str) -> None:
    """Tell whoever watches, with the time of day."""
    show(f"{time.strftime('%H:%M:%S')} {line}", sys.stderr)


def show(text: str, stream: TextIO) -> None:
    """Print a text, and raise nothing: what was made is deleted unwatched as well.

    The terminal or the pipe may be gone, or a signal has come while something is
    printed, whose handler may not print then (RuntimeError).
    """
    try:
        print(text, file=stream, flush=True)
    except BlockingIOError:
        return
    except OSError:
        _discard(stream)
    except (ValueError, RuntimeError):
        return


def _discard(stream: TextIO) -> None:
    """Have what is printed go nowhere, so that Python's end prints no error either."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def wait_for(  # noqa: PLR0913 - what is waited for, and how
    what: str,
    look: Callable[[], T | None],
    seconds: float,
    *,
    do: str = "",
    now: Callable[[], str] = lambda: "",
    longest: float = LONGEST,
) -> T:
    """Look until there is an answer; PortwayError when the time is up.

    ``now`` says how things are at the moment.
    """
    began = told = time.monotonic()
    pause = SHORTEST
    while True:
        if (found := look()) is not None:
            return found
        passed = time.monotonic() - began
        if passed >= seconds:
            text = f"gave up waiting for {what} after {passed:.0f} s"
            raise PortwayError(text, why=now(), do=do)
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            state = f": {text}" if (text := now()) else ""
            say(
                f"  waiting for {what} ({passed:.0f} s, at most {seconds:.0f} s){state}"
            )
        time.sleep(min(pause, max(seconds - passed, 0.01)))
        pause = min(pause * 1.5, longest)
