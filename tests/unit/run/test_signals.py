"""Signals end a run in a way that gives its lease back."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import gevent
import pytest
from pyinfra.api.state import State
from pyinfra.context import ctx_state

from portway.run.command_line import stop_at_the_first_failure

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """This process reacts afterwards as it did before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def deliver(number: signal.Signals) -> None:
    """A signal, and time for the run to react."""
    signal.raise_signal(number)
    gevent.sleep(0.5)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_ends_the_run_with_its_status(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(number, signal.SIG_DFL)
    with ctx_state.use(State()):
        stop_at_the_first_failure()
    with pytest.raises(SystemExit) as ended:
        deliver(number)
    assert ended.value.code == 128 + number
    assert "Interrupted" in capsys.readouterr().err


def test_run_under_nohup_outlives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ctx_state.use(State()):
        stop_at_the_first_failure()
    deliver(signal.SIGHUP)


ASKS = """
from gevent import monkey; monkey.patch_all()
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from portway.run.command_line import stop_at_the_first_failure
with ctx_state.use(State()):
    stop_at_the_first_failure()
print("got", input("what? "))
"""


@pytest.mark.parametrize(("typed", "status"), [(b"\x03", 130), (b"yes\n", 0)])
def test_prompt_is_ended_by_a_signal_and_answered_by_a_line(
    typed: bytes, status: int
) -> None:
    """Enter would be the answer that begins the run."""
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background has none
        os.execv(sys.executable, [sys.executable, "-c", ASKS])
    shown = b""
    while b"what? " not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, typed)
    with contextlib.suppress(OSError):  # it has ended
        while select.select([terminal], [], [], 10)[0]:
            shown += os.read(terminal, 1000)
        os.kill(process, signal.SIGKILL)
    _, ended = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(ended) == status, shown
    assert (b"got yes" in shown) is (status == 0)


class Lock:
    """A lock in whose taking a signal arrives."""

    def __init__(self) -> None:
        self.is_taken = False

    def __enter__(self) -> None:
        self.is_taken = True
        signal.raise_signal(signal.SIGTERM)

    def __exit__(self, *_: object) -> None:
        self.is_taken = False


def test_signal_leaves_no_lock_behind_that_nobody_releases() -> None:
    """What ends the run uses locks too, that of Python's log for one."""
    lock = Lock()
    with ctx_state.use(State()):
        stop_at_the_first_failure()

    def work() -> None:
        with lock:
            gevent.sleep(0)

    with pytest.raises(SystemExit):
        gevent.spawn(work).join(5)
    gevent.sleep(0.1)
    assert not lock.is_taken


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


WAITS = """
import os, signal, threading, time
import gevent
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from portway.run.command_line import stop_at_the_first_failure
with ctx_state.use(State()):
    stop_at_the_first_failure()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
def deliver():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=deliver, daemon=True).start()
gevent.sleep(20)
"""
"""Another thread gets the signal, so that the wait itself is not interrupted: as if it
had come just before."""


def test_signal_that_comes_just_before_a_wait_ends_it() -> None:
    ended = subprocess.run([sys.executable, "-c", WAITS], check=False, timeout=15)
    assert ended.returncode == 128 + signal.SIGTERM
