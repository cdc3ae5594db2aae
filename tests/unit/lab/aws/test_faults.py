"""The lab's faults as AWS's answers."""

from dataclasses import replace

import pytest
from botocore.parsers import create_parser
from botocore.session import Session

from lab.aws.calls import Request
from lab.aws.faults import Answer, CloudFault, CloudFaults, is_skewed, skewed


def answer(kind: str, request: Request) -> tuple[int, str, str]:
    """Status, code and message of an answer as boto3 reads them."""
    faults = CloudFaults()
    faults.put(CloudFault(kind))
    given = faults.answer(request)
    assert given
    return read(given, request)


def read(given: Answer, request: Request) -> tuple[int, str, str]:
    status = int(given.status[:3])
    parsed = create_parser(request.protocol).parse(
        {"body": given.body, "headers": {}, "status_code": status},
        Session().get_service_model(request.service).shape_for("Filter")
        if request.service == "ec2"
        else None,
    )
    return status, parsed["Error"]["Code"], parsed["Error"]["Message"]


EC2 = Request("10.0.0.5", "ec2", "AssociateAddress", "ec2", {})


RDS = Request("10.0.0.5", "rds", "DescribeDBInstances", "query", {})


SECRETS = Request("10.0.0.5", "secretsmanager", "GetSecretValue", "json", {})


S3 = Request("10.0.0.5", "s3", "GetObject", "rest-xml", {})


@pytest.mark.parametrize(
    ("request_", "most", "code"),
    [
        (EC2, 300, "RequestExpired"),
        (RDS, 300, "SignatureDoesNotMatch"),
        (SECRETS, 300, "InvalidSignatureException"),
        (S3, 900, "RequestTimeTooSkewed"),
    ],
)
def test_clock_that_is_wrong_is_refused(
    request_: Request, most: float, code: str
) -> None:
    now = 1_800_000_000.0
    for wrong in (most, -most):
        assert not is_skewed(replace(request_, signed_at=now + wrong), now)
        assert is_skewed(replace(request_, signed_at=now + wrong * 1.01), now)
    assert not is_skewed(request_, now), "nothing says when it was signed"
    assert read(skewed(request_), request_)[1] == code


@pytest.mark.parametrize(
    ("kind", "request_", "status", "code"),
    [
        ("throttle", EC2, 503, "RequestLimitExceeded"),
        ("fail", EC2, 500, "InternalError"),
        ("deny", EC2, 403, "UnauthorizedOperation"),
        ("throttle", RDS, 400, "Throttling"),
        ("fail", RDS, 500, "InternalFailure"),
        ("deny", RDS, 403, "AccessDenied"),
        ("throttle", SECRETS, 400, "ThrottlingException"),
        ("fail", SECRETS, 500, "InternalServiceError"),
        ("deny", SECRETS, 400, "AccessDeniedException"),
        ("throttle", S3, 503, "SlowDown"),
        ("fail", S3, 500, "InternalError"),
        ("deny", S3, 403, "AccessDenied"),
    ],
)
def test_boto_reads_the_error_that_the_service_gives(
    kind: str, request_: Request, status: int, code: str
) -> None:
    assert answer(kind, request_)[:2] == (status, code)


def test_answer_to_a_head_request_has_no_body() -> None:
    faults = CloudFaults()
    faults.put(CloudFault("deny"))
    given = faults.answer(Request("10.0.0.5", "s3", "HeadObject", "rest-xml", {}))
    assert given
    assert (given.status, given.body) == ("403 Forbidden", b"")


def test_denial_names_the_action() -> None:
    _, _, message = answer("deny", EC2)
    assert "is not authorized to perform: ec2:AssociateAddress" in message


def test_fault_concerns_only_its_actions_and_its_source() -> None:
    faults = CloudFaults()
    faults.put(CloudFault("deny", actions=("AssociateAddress",), source="10.0.0.5"))
    assert faults.answer(EC2)
    assert not faults.answer(RDS)
    elsewhere = Request("10.0.0.6", "ec2", "AssociateAddress", "ec2", {})
    assert not faults.answer(elsewhere)


def test_last_fault_answers_and_none_after_healing() -> None:
    faults = CloudFaults()
    for kind in ("deny", "throttle"):
        faults.put(CloudFault(kind))
    given = faults.answer(EC2)
    assert given
    assert given.status.startswith("503")
    faults.clear()
    assert not faults.answer(EC2)
