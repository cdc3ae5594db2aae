"""Programs end with whoever started them."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[4]
ENDS_AFTER = "import time; print('started', flush=True); time.sleep(60)"


def started(program: str) -> subprocess.Popen[bytes]:
    guard = (sys.executable, "-m", "acceptance.programs.guarded")
    return subprocess.Popen(
        [*guard, sys.executable, "-c", program],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def test_program_ends_when_nobody_holds_its_input() -> None:
    process = started(ENDS_AFTER)
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    process.stdin.close()
    assert process.stdout.read() == b"", "the program holds its output while it runs"
    assert process.wait(10) == -9


@pytest.mark.parametrize("status", [0, 3])
def test_status_is_the_programs(status: int) -> None:
    process = started(f"import sys; sys.exit({status})")
    assert process.wait(10) == status
