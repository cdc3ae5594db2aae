"""What is kept of a call to AWS, and what is not."""

import io
import json
from typing import Any

from lab.aws import calls
from lab.aws.calls import Call, Calls, Request


def environ(body: bytes, **more: Any) -> dict[str, Any]:
    return {
        "REMOTE_ADDR": "10.0.0.5",
        "PATH_INFO": "/",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=AK/20250101/us-east-1/"
        f"{more.pop('service')}/aws4_request, SignedHeaders=host",
        **more,
    }


def test_call_is_read_with_what_it_is_about() -> None:
    body = b"Action=AssociateAddress&AllocationId=eipalloc-1&DryRun=true&Version=2"
    given = environ(body, service="ec2")
    assert calls.read(given) == Request(
        "10.0.0.5",
        "ec2",
        "AssociateAddress",
        "ec2",
        {"AllocationId": "eipalloc-1", "DryRun": "true"},
        "AK",
    )
    assert given["wsgi.input"].read() == body


def test_call_is_read_with_when_it_was_signed() -> None:
    body = b"Action=DescribeInstances"
    at = calls.read(environ(body, service="ec2", HTTP_X_AMZ_DATE="20250101T000010Z"))
    assert at.signed_at == 1_735_689_610
    none = calls.read(environ(body, service="ec2", HTTP_X_AMZ_DATE="yesterday"))
    assert none.signed_at is None


def test_secret_value_is_not_kept_of_a_call() -> None:
    body = json.dumps({"SecretId": "name", "SecretString": "hidden"}).encode()
    target = "secretsmanager.PutSecretValue"
    read = calls.read(environ(body, service="secretsmanager", HTTP_X_AMZ_TARGET=target))
    assert (read.action, read.parameters) == ("PutSecretValue", {"SecretId": "name"})


def test_object_of_a_bucket_is_named_and_its_content_is_not() -> None:
    more = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/bucket/folder/name.tar"}
    body = b"Key=other"
    given = environ(body, service="s3") | more
    read = calls.read(given)
    assert (read.action, read.protocol) == ("PutObject", "rest-xml")
    assert read.parameters == {"Bucket": "bucket", "Key": "folder/name.tar"}
    assert given["wsgi.input"].read() == body


def test_calls_are_given_since_a_moment() -> None:
    calls = Calls()
    for at in (1.0, 2.0, 3.0):
        calls.add(Call(at, "10.0.0.5", "DescribeVpcs", 200, {}))
    assert [call[0] for call in calls.since(2.0)] == [2.0, 3.0]
