"""What a follower says, and how it ends."""

import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab.lifecycle import follow
from lab.lifecycle.follow import Once
from lab.plan.names import Lab


def test_the_same_trouble_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    say = Once()
    for text in ("no AWS", "no AWS", "", "no AWS", "no disk"):
        say(text)
    said = capsys.readouterr().err.splitlines()
    assert [line.split("] ")[1] for line in said] == ["no AWS", "no AWS", "no disk"]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """How many looks at AWS a follower of an empty lab has taken; 50 are too many."""
    monkeypatch.setattr(follow, "check_machine", lambda: None)
    monkeypatch.setattr(follow, "alone", nullcontext)
    monkeypatch.setattr(follow, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Lab, "directory", tmp_path)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield []
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Finalized:
    """An object that the process is told to end in the finalizer of."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signal_that_the_interpreter_drops_ends_it_too(
    looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object) -> str:
        looks.append("")
        if len(looks) > 50:
            pytest.fail("it goes on for ever")
        if len(looks) == 3:
            Finalized()
        return ""

    monkeypatch.setattr(follow, "look", look)

    follow.follow(Lab("x"))

    assert len(looks) == 3


def test_signal_ends_a_look(looks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: object) -> str:
        looks.append("began")
        signal.raise_signal(signal.SIGTERM)
        looks.append("went on")
        return ""

    monkeypatch.setattr(follow, "look", look)

    follow.follow(Lab("x"))

    assert looks == ["began"]
