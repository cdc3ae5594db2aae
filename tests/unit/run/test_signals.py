"""Signals end a run in a way that gives its lease back."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pyinfra.api.state import State
from pyinfra.context import ctx_state

from portway.run.command_line import stop_at_the_first_failure

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """This process reacts afterwards as it did before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_the_run_with_its_status(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(number, signal.SIG_DFL)
    with ctx_state.use(State()):
        stop_at_the_first_failure()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert "Interrupted" in capsys.readouterr().err


def test_run_under_nohup_outlives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ctx_state.use(State()):
        stop_at_the_first_failure()
    signal.raise_signal(signal.SIGHUP)


FORKS = """
import os, signal
from gevent import monkey; monkey.patch_all()
import gevent
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from portway.run.command_line import stop_at_the_first_failure
with ctx_state.use(State()):
    stop_at_the_first_failure()
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGTERM))
if os.fork() == 0:
    os._exit(0)
gevent.sleep(20)
"""


def test_signal_during_a_fork_ends_the_run_too() -> None:
    """The interpreter ignores what is raised then; a run starts git, for one."""
    ended = subprocess.run([sys.executable, "-c", FORKS], check=False, timeout=15)
    assert ended.returncode == 128 + signal.SIGTERM
