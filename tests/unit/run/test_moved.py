"""Who moved: what was wanted changed, or the thing itself did."""

from dataclasses import replace

import pytest

from portway.model.deployed import Checkout, Deployed
from portway.ops.differences import Difference
from portway.ops.findings import DATABASE, NODE
from portway.ops.left import Left, LeftFacts
from portway.run.moved import NOBODY_KNOWS, WORLD, YOU, who_moved

OURS = Deployed(Checkout("1.0"), "clients", "settings", "site.py", "anna", 5, True)
RECORD = OURS.to_json()
FILE = Difference("file", "/etc/a", "content differs", "wanted")
STRAY = Difference("file", "/etc/b", "should not be there")


def left(
    wishes: dict[str, str], record: str = RECORD, part: str = NODE
) -> dict[str, dict[str, Left]]:
    return {"lb-1": {part: Left(record, wishes)}}


OTHER_CLIENTS = replace(OURS, clients_sha256="other").to_json()


@pytest.mark.parametrize(
    ("difference", "on_record", "moved"),
    [
        (FILE, left({"file /etc/a": "wanted"}), WORLD),
        (FILE, left({"file /etc/a": "wanted"}, OTHER_CLIENTS), WORLD),
        (FILE, left({"file /etc/a": "before"}, OTHER_CLIENTS), YOU),
        (FILE, left({"file /etc/c": "new"}, OTHER_CLIENTS), YOU),
        # Nobody decided anything else: AWS says something else.
        (FILE, left({"file /etc/a": "before"}), WORLD),
        (STRAY, left({"file /etc/a": "wanted"}, OTHER_CLIENTS), WORLD),
        (STRAY, left({"file /etc/b": "before"}, OTHER_CLIENTS), YOU),
        (FILE, {"lb-1": {}}, NOBODY_KNOWS),
        (FILE, {}, NOBODY_KNOWS),
        # Another deploy has succeeded since, and it was not about the node itself.
        (FILE, left({"file /etc/a": "before"}, part=DATABASE), NOBODY_KNOWS),
    ],
)
def test_record_of_the_last_run_says_who_moved(
    difference: Difference, on_record: dict[str, dict[str, Left]], moved: str
) -> None:
    assert who_moved("lb-1", difference, on_record, OURS) == moved


def test_any_nodes_record_says_what_was_wanted_of_the_database() -> None:
    right = Difference("database", "messages", "to do: Grant", "wish", node="database")
    both = {
        "app-1": {
            NODE: Left(OTHER_CLIENTS, {"file /etc/a": "wanted"}),
            DATABASE: Left(RECORD, {"database messages": "wish"}),
        },
        "lb-1": {NODE: Left(OTHER_CLIENTS, {"file /etc/a": "wanted"})},
    }
    assert who_moved("database", right, both, OURS) == WORLD


def test_record_that_is_none_counts_for_nothing() -> None:
    one = Left(RECORD, {"file /etc/a": "x"})
    lines = [f"{NODE} {one.to_json()}", "a not JSON", "b []", 'c {"wishes": []}', "d"]
    assert LeftFacts().process(lines) == {NODE: one}
