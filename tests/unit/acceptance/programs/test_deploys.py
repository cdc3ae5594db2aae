"""Programs that a run started are ended, as far as it may."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.plan.options import Options
from acceptance.programs import deploys
from acceptance.programs.deploys import Deploys
from acceptance.terminal.masking import Mask
from portway.errors import PortwayError


def test_debug_log_does_not_stay_in_the_checkout(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checkout, folder = tmp_path / "checkout", tmp_path / "folder"
    checkout.mkdir()
    folder.mkdir()
    (checkout / "acceptance").symlink_to(deploys.PROJECT / "acceptance")
    (checkout / "portway").symlink_to(deploys.PROJECT / "portway")
    monkeypatch.setattr(deploys, "PROJECT", checkout)
    runs = Deploys(options, folder, dict, Mask())
    program = "open('pyinfra-debug.log', 'w').write('a traceback'); exit(1)"
    with pytest.raises(PortwayError, match="status 1"):
        runs._run("it", (sys.executable, "-c", program), 30)
    assert not (checkout / "pyinfra-debug.log").exists()
    log = folder / "pyinfra-debug.log"
    assert log.read_text() == "a traceback"
    assert log.stat().st_mode & 0o777 == 0o600


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
