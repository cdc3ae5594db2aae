"""A look waits for nothing and nobody, and remembers what AWS said last."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import pytest

from portway.errors import PortwayError
from portway.ops.remote import NotReached
from portway.run import last_stack, nodes
from portway.run.nodes import _Reader, _within
from tests.unit import samples

ASKED = ("arn:aws:cloudformation:eu-central-1:1:stack/prod/1", "eu-central-1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "portway"


def answers(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Have AWS answer with a stack, or fail."""

    def read(*_: Any, **options: Any) -> Any:
        assert options["wait_seconds"] == 0
        if isinstance(answer, PortwayError):
            raise answer
        return answer

    monkeypatch.setattr(nodes, "read_stack", read)


def test_stack_is_the_one_that_was_read_last_while_aws_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, stack = _Reader(), samples.stack()
    answers(monkeypatch, stack)
    assert reader.read(*ASKED) == stack
    assert reader.problem == ""
    before = reader.read_at
    answers(monkeypatch, PortwayError("no credentials", do="log in"))
    assert reader.read(*ASKED) == stack
    assert reader.problem == "no credentials\n  log in"
    assert abs((reader.read_at - before).total_seconds()) < 5
    answers(monkeypatch, stack)
    reader.read(*ASKED)
    assert reader.problem == ""


def test_stack_that_was_never_read_is_refused_in_awss_words(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    answers(monkeypatch, PortwayError("no credentials"))
    with pytest.raises(PortwayError, match="no credentials"):
        _Reader().read(*ASKED)
    cache.mkdir()
    last_stack.remember(samples.stack(), ASKED)
    (file,) = cache.iterdir()
    file.write_text('{"name": 1}')
    with pytest.raises(PortwayError, match="no credentials"):
        _Reader().read(*ASKED)


def test_folder_that_cannot_be_written_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    answers(monkeypatch, samples.stack())
    assert _Reader().read(*ASKED) == samples.stack()


def insist() -> None:
    """Try again after every error, as botocore does."""
    with _within(0.05, "AWS does not answer"):
        while True:
            with suppress(Exception):
                gevent.sleep(10)


def test_library_that_tries_again_after_every_error_is_ended_all_the_same() -> None:
    with pytest.raises(NotReached, match="AWS does not answer within 0 s"):
        insist()
