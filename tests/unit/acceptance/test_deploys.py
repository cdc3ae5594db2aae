"""Programs that a run started are ended, as far as it may."""

import os
import signal
import subprocess
import sys

import pytest

from acceptance import deploys


def test_program_of_another_owner_is_left_to_end_with_its_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killpg(group: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", killpg)
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        deploys.end(process)
        process.send_signal(signal.SIGKILL)
