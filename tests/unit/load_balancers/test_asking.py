"""Waiting for what a node may not have yet."""

from datetime import UTC, datetime, timedelta

import pytest

from portway.load_balancers import asking
from portway.model.stack import GRANTED_WITHIN
from tests.unit import samples


@pytest.mark.parametrize(
    ("ago", "looks"),
    [
        (timedelta(0), 4),
        (GRANTED_WITHIN + timedelta(seconds=1), 1),
        (None, 1),
    ],
)
def test_rights_are_waited_for_if_the_stack_was_changed_lately(
    monkeypatch: pytest.MonkeyPatch, ago: timedelta | None, looks: int
) -> None:
    answers = [["ec2:AssociateAddress: no"]] * 3 + [[]]
    monkeypatch.setattr("gevent.sleep", lambda _: None)
    changed_at = None if ago is None else datetime.now(UTC) - ago
    stack = samples.stack(changed_at=changed_at)

    refused = asking.wait_for_rights(stack, lambda: answers.pop(0))

    assert len(answers) == 4 - looks
    assert bool(refused) is (looks < 4)
