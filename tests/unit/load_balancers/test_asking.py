"""Waiting for what a node may not have yet."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portway.load_balancers import asking
from portway.load_balancers.status import LoadBalancerStatus
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


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, Any]]:
    """When each load balancer's status was asked, and what it was; nothing changed."""
    now = time.monotonic()
    found = {name: (now, LoadBalancerStatus()) for name in ("lb-1", "lb-2")}
    monkeypatch.setattr(asking, "inventory", ("lb-1", "lb-2", "app-1"))
    monkeypatch.setattr(asking, "kept_of", lambda name, _: found.get(name))
    monkeypatch.setattr(asking, "changes_of", lambda _, __: [])
    return found


def test_status_of_the_beginning_counts_in_a_run_that_changes_nothing(
    asked: dict[str, tuple[float, Any]],
) -> None:
    known = asking.known_statuses(samples.cluster())
    assert known == {name: status for name, (_, status) in asked.items()}


@pytest.mark.parametrize("node", ["lb-1", "app-1"])
def test_status_of_the_beginning_does_not_count_once_any_node_was_changed(
    asked: dict[str, tuple[float, Any]], monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    monkeypatch.setattr(
        asking, "changes_of", lambda _, name: ["Run haproxy"] if name == node else []
    )
    assert asking.known_statuses(samples.cluster()) is None


@pytest.mark.parametrize("age", [None, asking.FRESH + 1])
def test_status_that_is_old_or_of_one_node_alone_does_not_count(
    asked: dict[str, tuple[float, Any]], age: float | None
) -> None:
    when, status = asked.pop("lb-2")
    if age is not None:
        asked["lb-2"] = when - age, status
    assert asking.known_statuses(samples.cluster()) is None
