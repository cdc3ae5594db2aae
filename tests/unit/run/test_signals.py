"""Signals end a run in a way that gives its lease back."""

import signal
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
    yield
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
