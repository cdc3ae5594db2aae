"""Parts fail when what they show is not so."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from acceptance.parts import order, updates
from acceptance.parts.view import View
from acceptance.programs.deploys import Done
from acceptance.programs.sender import Traffic
from portway.errors import PortwayError

QUIET = Traffic(acknowledged=50, failed=0, longest_gap=0.2, served_again=None)
FAILED = Traffic(50, 2, 3.0, 3.0, ("TimeoutError: timed out",))
CHANGED = Done("    [lb-1]  Success\n    [lb-2]  No changes\n", 1.0)
UNCHANGED = Done("    [lb-1]  No changes\n    [lb-2]  No changes\n", 1.0)


def view(done: Done, traffic: Traffic) -> View:
    """A run whose deploys end like this while clients notice that."""

    def put(*_: str, **given: Any) -> None:
        assert given["SecretId"] == "arn"

    client = SimpleNamespace(
        measured=lambda *_: traffic, wait_until_served=lambda *_: None
    )
    found = SimpleNamespace(
        deploys=SimpleNamespace(deploy=lambda *_: done),
        client=lambda: client,
        mask=SimpleNamespace(hide=lambda *_: None),
        owner=SimpleNamespace(call=put),
        maker=SimpleNamespace(outputs={"ApplicationSecretArn": "arn"}),
        notes={},
    )
    return cast(View, found)


def test_second_deploy_that_changes_nothing_is_as_expected() -> None:
    assert "nothing changed" in order.again(view(UNCHANGED, QUIET))


def test_second_deploy_during_which_a_message_fails_is_an_error() -> None:
    with pytest.raises(PortwayError, match="2 messages failed while everything was"):
        order.again(view(UNCHANGED, FAILED))


def test_second_deploy_that_changes_something_is_an_error() -> None:
    with pytest.raises(PortwayError, match="changed something, 1 times"):
        order.again(view(CHANGED, QUIET))


def test_rotation_without_a_failed_message_is_as_expected() -> None:
    seen = view(CHANGED, QUIET)
    assert "0 failed" in updates.rotation(seen)
    assert seen.notes["rotated"] == "yes"


@pytest.mark.parametrize(
    ("done", "traffic", "text"),
    [
        (CHANGED, FAILED, "2 messages failed while the password was rotated"),
        (UNCHANGED, QUIET, "the new password changed nothing"),
    ],
)
def test_rotation_that_fails_messages_or_does_nothing_is_an_error(
    done: Done, traffic: Traffic, text: str
) -> None:
    seen = view(done, traffic)
    with pytest.raises(PortwayError, match=text):
        updates.rotation(seen)
    assert "rotated" not in seen.notes
