"""What held clients print is read as it was written."""

import pytest

from lab.errors import LabError
from lab.traffic.streams import Answered, Ended, Opened, Streams, written


def test_connections_of_one_client_are_told_apart() -> None:
    streams = Streams()
    streams.read(
        written(seen)
        for seen in (
            Opened("a", 1.0, 40_001),
            Answered("a", 1.5, "id-1", "app-1"),
            Ended("a", 2.0, "closed", in_flight=True),
            Opened("a", 2.5, 40_002),
            Answered("a", 3.0, "id-2", "app-2"),
        )
    )
    first, second = streams.streams
    assert (first.node, first.answers, first.last_answer) == ("app-1", 1, 1.5)
    assert (first.ended, first.how, first.in_flight) == (2.0, "closed", True)
    assert first.was_cut
    assert (second.node, second.port, second.ended) == ("app-2", 40_002, 0.0)
    assert not second.was_cut
    assert [answer.id for answer in streams.answers] == ["id-1", "id-2"]


def test_who_hangs_up_was_not_cut() -> None:
    streams = Streams()
    streams.read(["opened a 1 2", "ended a 3 hung-up 0"])
    assert not streams.streams[0].was_cut


@pytest.mark.parametrize(
    "line", ["", "opened a", "opened a 1 2 3", "answered a 1 id app-1", "seen a 1"]
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(LabError, match="no line of held clients"):
        Streams().read([line])
