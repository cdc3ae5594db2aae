"""Nothing stays in the account because a laptop slept or AWS was busy."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore import exceptions as raised

from acceptance.account.calls import Caller
from acceptance.account.making import Maker
from acceptance.account.operator import RENEW_SECONDS, Operator
from acceptance.account.patience import passes, patiently, wait_for_aws
from acceptance.run.command import _warned
from acceptance.terminal import waiting
from portway.aws.errors import AwsCallError, Call, translate_aws_errors
from portway.errors import PortwayError

AWAY = raised.EndpointConnectionError(endpoint_url="https://sts")


def translated(error: Exception) -> PortwayError:
    with (
        pytest.raises(PortwayError) as found,
        translate_aws_errors(Call("sts:GetCallerIdentity", "a test", "us-east-1")),
    ):
        raise error
    return found.value


class Answers:
    """AWS, which answers with these one after the other, and then well."""

    def __init__(self, *errors: PortwayError) -> None:
        self.errors: Iterator[PortwayError] = iter(errors)
        self.calls = self.forgotten = 0

    def call(self, *_: str, **__: Any) -> Any:
        self.calls += 1
        for error in self.errors:
            raise error
        return {}

    def forget(self) -> None:
        self.forgotten += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SHORTEST", 0.001)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("error", "does"),
    [
        (translated(AWAY), True),
        (translated(raised.NoCredentialsError()), True),
        (AwsCallError("Throttling", "slow down"), True),
        (AwsCallError("ServiceUnavailable", "later"), True),
        (AwsCallError("ExpiredToken", "log in"), True),
        (AwsCallError("AccessDenied", "no"), False),
        (PortwayError("it is somebody else's"), False),
    ],
)
def test_what_passes(error: PortwayError, does: bool) -> None:
    assert passes(error) is does


def test_static_credentials_that_expired_do_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _warned() == []
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a token")
    assert not passes(AwsCallError("ExpiredToken", "log in"))
    assert "cannot be renewed" in " ".join(_warned())


def test_aws_is_waited_for_and_a_new_login_is_looked_for() -> None:
    aws = Answers(translated(AWAY), AwsCallError("ExpiredToken", "log in"))
    wait_for_aws(cast(Caller, aws))
    assert (aws.calls, aws.forgotten) == (3, 2)


def test_aws_is_not_waited_for_without_end() -> None:
    aws = Answers(*[translated(AWAY)] * 1000)
    wait_for_aws(cast(Caller, aws), 0.02)
    assert 1 < aws.calls < 1000


def test_no_is_an_answer() -> None:
    aws = Answers(AwsCallError("AccessDenied", "no"), translated(AWAY))
    wait_for_aws(cast(Caller, aws))
    assert aws.calls == 1
    with pytest.raises(AwsCallError):
        patiently(Answers(AwsCallError("AccessDenied", "no")).call)
    assert patiently(Answers(translated(AWAY)).call) is None


def test_stack_is_waited_for_while_aws_is_out_of_reach() -> None:
    stack = {"StackStatus": "CREATE_COMPLETE", "Outputs": []}
    answers = iter([translated(AWAY), AwsCallError("Throttling", "slow down")])

    def call(*_: str, **__: Any) -> Any:
        for error in answers:
            raise error
        return {"Stacks": [stack]}

    caller = SimpleNamespace(call=call)
    options = SimpleNamespace(stack="trial")
    maker = Maker(*cast(Any, (caller, options, None, None, None, None)))
    maker.wait_for_stack()
    assert maker.outputs == {}


def test_session_gets_old_while_the_computer_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1e9]
    clock = SimpleNamespace(time=lambda: now[0], monotonic=lambda: 1.0)
    monkeypatch.setattr("acceptance.account.operator.time", clock)
    monkeypatch.setattr(Operator, "_assume", lambda _: {"at": str(now[0])})
    operator = Operator(*cast(Any, (None, None, "arn", None)))
    first = operator.credentials()
    assert operator.credentials() is first
    now[0] += RENEW_SECONDS + 1
    assert operator.credentials() is not first
