"""Turns to be out of service, against S3's own conditions."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portway.aws.client import Aws
from portway.aws.turns import TurnRefused, Turns
from tests.integration.conftest import REGION, Account

BUCKET = "turns-of-one-stack"
ALL = ("i-1", "i-2", "i-3")


@pytest.fixture
def bucket(account: Account) -> Account:
    account.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    return account


def of(number: int, size: int = 1) -> Turns:
    """The turns as one of the nodes sees them."""
    instance, node = f"i-{number}", f"app-{number}"
    return Turns(REGION, BUCKET, size, instance=instance, node=node)


def said(account: Account, key: str = "turns/1") -> dict[str, Any]:
    body = account.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"]
    found: dict[str, Any] = json.loads(body.read())
    return found


def test_one_after_the_other(bucket: Account) -> None:
    one, two = of(1), of(2)
    assert one.take("new", ALL) == ""
    assert two.take("new", ALL) == "app-1 (i-1) has its turn"
    assert one.renew()
    assert two.take("new", ALL) == "app-1 (i-1) has its turn"
    one.end()
    assert two.take("new", ALL) == ""
    assert not one.renew(), "it is not its own any more"
    assert said(bucket)["instance"] == "i-2"


def test_as_many_as_there_are(bucket: Account) -> None:
    assert [of(n, 2).take("new", ALL) == "" for n in (1, 2, 3)] == [True, True, False]


def test_of_many_at_once_one_is_faster(bucket: Account) -> None:
    nodes = [of(number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda node: node.take("new", ALL), nodes))
    assert answers.count("") == 1
    assert [node.renew() for node in nodes].count(True) == 1


def test_whoever_was_killed_has_it_again_at_once(bucket: Account) -> None:
    assert of(1).take("new", ALL) == ""
    again = of(1)
    assert again.take("new", ALL) == ""
    assert again.renew()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 wrote everything some minutes ago."""
    call = Aws.call

    def as_if_later(
        self: Aws, service: str, operation: str, *more: Any, **a: Any
    ) -> Any:
        found = call(self, service, operation, *more, **a)
        if operation == "get_object":
            found["LastModified"] = datetime.now(UTC) - timedelta(minutes=3)
        return found

    monkeypatch.setattr(Aws, "call", as_if_later)


def test_turn_of_a_node_that_died_is_over(bucket: Account, later: None) -> None:
    one, two = of(1), of(2)
    assert one.take("new", ALL) == ""
    assert two.take("new", ALL) == ""
    assert not one.renew(), "it was asleep, and must not go on"


def test_others_do_not_try_what_one_has_failed_with(
    bucket: Account, later: None
) -> None:
    one, two = of(1), of(2)
    assert one.take("bad", ALL) == ""
    one.fail()
    with pytest.raises(TurnRefused, match="i-1 did not serve with the same"):
        two.take("bad", ALL)

    # The one that failed goes back; it is still not to be tried.
    back = of(1)
    assert back.take("old", ALL) == ""
    back.end()
    with pytest.raises(TurnRefused, match="i-1 did not serve with the same"):
        two.take("bad", ALL)

    assert two.take("mended", ALL) == ""
    two.end()
    with pytest.raises(TurnRefused, match="i-1 did not serve with the same"):
        two.take("bad", ALL)

    # Somebody has it tried again where it failed, and it serves.
    again = of(1)
    assert again.take("bad", ALL) == ""
    again.end()
    of(3).forgive("bad")
    with pytest.raises(TurnRefused, match="i-1 did not serve with the same"):
        two.take("bad", ALL)
    again.forgive("bad")
    assert two.take("bad", ALL) == ""


def test_failure_of_a_node_that_is_gone_counts_no_more(
    bucket: Account, later: None
) -> None:
    one = of(1)
    assert one.take("bad", ALL) == ""
    one.fail()
    assert of(2).take("bad", ("i-2", "i-3")) == ""


def test_answer_that_was_lost_is_no_lost_turn(
    bucket: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 asks again, and S3 says that somebody has written it meanwhile."""
    one = of(1)
    assert one.take("new", ALL) == ""
    call = Aws.call

    def twice(
        self: Aws, service: str, operation: str, about: str, **arguments: Any
    ) -> Any:
        if operation == "put_object":
            call(self, service, operation, about, **arguments)
        return call(self, service, operation, about, **arguments)

    monkeypatch.setattr(Aws, "call", twice)
    assert one.renew()
    monkeypatch.undo()
    assert one.renew()


def test_object_that_somebody_has_damaged_is_taken(bucket: Account) -> None:
    bucket.client("s3").put_object(Bucket=BUCKET, Key="turns/1", Body=b"{")
    assert of(1).take("new", ALL) == ""
