"""Several questions to AWS, asked side by side."""

import subprocess
import sys
import time
from threading import Barrier

import pytest

from portway.aws.client import Aws

INTERRUPTED = """
import os, signal, threading, time
from portway.aws.client import Aws
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
Aws("eu-central-1").at_once(lambda: 1, lambda: time.sleep(60))
"""


def refuse(text: str) -> int:
    raise ValueError(text)


def test_answers_come_in_the_order_of_the_questions() -> None:
    together = Barrier(3, timeout=10)  # broken unless all three are asked at once

    def ask(number: int) -> int:
        together.wait()
        time.sleep(0.1 * (3 - number))
        return number

    found = Aws("eu-central-1").at_once(lambda: ask(1), lambda: ask(2), lambda: ask(3))
    assert found == [1, 2, 3]


def test_first_error_is_raised() -> None:
    aws = Aws("eu-central-1")
    with pytest.raises(ValueError, match="second"):
        aws.at_once(lambda: 1, lambda: refuse("second"), lambda: refuse("third"))


def test_who_is_interrupted_does_not_wait() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "KeyboardInterrupt" in done.stderr
