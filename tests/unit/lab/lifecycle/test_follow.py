"""What a follower says."""

import pytest

from lab.lifecycle.follow import Once


def test_the_same_trouble_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    say = Once()
    for text in ("no AWS", "no AWS", "", "no AWS", "no disk"):
        say(text)
    said = capsys.readouterr().err.splitlines()
    assert [line.split("] ")[1] for line in said] == ["no AWS", "no AWS", "no disk"]
