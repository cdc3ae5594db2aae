"""Reading secrets with boto3 from moto."""

import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext

import boto3
import pytest
from moto import mock_aws

from portway.aws import secrets
from portway.aws.logins import read_application_login
from portway.aws.secrets import read_secret
from portway.errors import PortwayError

REGION = "eu-central-1"
PASSWORD = "correct-horse-battery"  # the test's own


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


def store(value: str) -> str:
    client = boto3.client("secretsmanager", REGION)
    arn: str = client.create_secret(Name="login", SecretString=value)["ARN"]
    return arn


def login() -> str:
    return store(json.dumps({"username": "application", "password": PASSWORD}))


def test_fields_are_read() -> None:
    fields = read_secret(REGION, login())
    assert fields == {"username": "application", "password": PASSWORD}


def test_missing_secret_is_told_with_a_way_out() -> None:
    with pytest.raises(PortwayError) as refusal:
        read_secret(REGION, "no-such")
    assert "secret no-such: there is no such secret" in refusal.value.message
    assert "restore-secret" in refusal.value.message


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("application", f" {PASSWORD}", "begins or ends with a space"),
        ("application", f"{PASSWORD}ö", "printable ASCII"),
        ("1application", PASSWORD, '"username" must be'),
        ("application", "", 'it has no "password"'),
    ],
)
def test_login_that_the_application_could_not_use_is_refused_and_not_shown(
    user: str, password: str, expected: str
) -> None:
    arn = store(json.dumps({"username": user, "password": password}))
    with pytest.raises(PortwayError) as refusal:
        read_application_login(REGION, arn)
    assert expected in refusal.value.message
    assert PASSWORD not in refusal.value.message


@pytest.mark.parametrize("value", [PASSWORD, f'["{PASSWORD}"]', f'{{"p": "{PASSWORD}'])
def test_content_that_is_no_object_is_refused_and_not_told(value: str) -> None:
    arn = store(value)
    with pytest.raises(PortwayError, match="is not a JSON object") as refusal:
        read_secret(REGION, arn)
    error: BaseException | None = refusal.value
    while error:
        assert PASSWORD not in str(error)
        error = error.__cause__


def test_no_log_holds_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    arn = login()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    read_secret(REGION, arn)
    assert PASSWORD not in caplog.text


def test_log_that_would_hold_the_answer_is_looked_at(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its guard the test above fails."""
    monkeypatch.setattr(secrets, "_responses_unlogged", nullcontext)
    arn = login()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    read_secret(REGION, arn)
    assert PASSWORD in caplog.text
