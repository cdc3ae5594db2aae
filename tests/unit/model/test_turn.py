"""Who may take a turn to be out of service."""

import pytest

from portway.model.turn import EXPIRES_SECONDS, Seen, Turn, why_not

OTHERS = Turn("i-1", "app-1")


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Seen(None), ""),
        (Seen(OTHERS, age=EXPIRES_SECONDS - 1), "app-1 (i-1) has its turn"),
        (Seen(OTHERS, age=EXPIRES_SECONDS), ""),
        (Seen(Turn("i-1", "app-1", is_over=True)), ""),
        (Seen(Turn("i-2", "app-2")), ""),
        (
            Seen(Turn("i-1", "app-1", True, "new", "i-1"), age=1e6),
            "i-1 did not serve with the same",
        ),
        (Seen(Turn("i-1", "app-1", True, "new", "i-0")), ""),
        (Seen(Turn("i-1", "app-1", True, "old", "i-1")), ""),
        (Seen(Turn("i-1", "app-1", True, "new", "i-2")), ""),
    ],
    ids=[
        "nobody has had it",
        "another one is at it",
        "another one died",
        "another one is done",
        "a run of its own was killed",
        "another one has failed with the same, however long ago",
        "one that is gone has failed with the same",
        "another one has failed with something else",
        "it has failed itself, and may try again",
    ],
)
def test_who_may_take_a_turn(seen: Seen, why: str) -> None:
    assert why_not(seen, "i-2", "new", ("i-1", "i-2")) == why


def test_an_object_says_what_was_written() -> None:
    turn = Turn("i-1", "app-1", True, "new", "i-1", 7)
    assert Turn.from_json(turn.to_json()) == turn


def test_an_object_of_a_later_version_says_what_is_known_of_it() -> None:
    text = '{"instance": "i-1", "node": "app-1", "later": 1}'
    assert Turn.from_json(text) == OTHERS


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"instance": "i-1"}', '{"unknown": 1}', '"x"'],
)
def test_an_object_that_says_something_else_is_nobodys(text: str) -> None:
    assert Turn.from_json(text) is None
