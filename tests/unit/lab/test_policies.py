"""What IAM policies allow in the lab: the part of their language that it knows."""

from typing import Any

import pytest

from lab.aws.policies import Resource, allowed
from lab.errors import LabError

ADDRESS = Resource("arn:aws:ec2:eu-central-1:1:elastic-ip/eipalloc-1")
NODE = Resource(
    "arn:aws:ec2:eu-central-1:1:instance/i-1",
    {
        "aws:ResourceTag/role": ("lb",),
        "aws:TagKeys": ("slot",),
        "aws:userid": ("AROA1:i-1",),
        "ec2:InstanceID": ("i-1",),
        "ec2:Kind": ("i-?",),
    },
)


def statement(
    action: str | list[str] = "ec2:Move", resource: str = "*", **more: Any
) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def test_nothing_is_allowed_that_no_statement_allows() -> None:
    assert not allowed([], "ec2:Move", [ADDRESS])
    assert not allowed([statement("ec2:Other")], "ec2:Move", [ADDRESS])
    assert allowed([statement(["ec2:Other", "EC2:move"])], "ec2:Move", [ADDRESS])
    assert allowed([statement("ec2:M*")], "ec2:Move", [ADDRESS])


def test_a_call_that_names_no_resource_is_not_allowed() -> None:
    assert not allowed([statement()], "ec2:Move", [])


def test_every_resource_of_a_call_must_be_allowed() -> None:
    addresses = statement(resource="arn:aws:ec2:*:1:elastic-ip/*")
    nodes = statement(resource="arn:aws:ec2:eu-central-1:1:instance/i-?")

    assert allowed([addresses], "ec2:Move", [ADDRESS])
    assert not allowed([addresses], "ec2:Move", [ADDRESS, NODE])
    assert allowed([addresses, nodes], "ec2:Move", [ADDRESS, NODE])


def test_a_call_about_nothing_needs_a_statement_about_everything() -> None:
    narrow = statement(resource="arn:aws:ec2:eu-central-1:1:instance/*")

    assert not allowed([narrow], "ec2:Move", [Resource()])
    assert allowed([statement()], "ec2:Move", [Resource()])


def test_a_denial_wins() -> None:
    denial = statement(resource="arn:aws:ec2:*:*:instance/*") | {"Effect": "Deny"}

    assert not allowed([statement(), denial], "ec2:Move", [NODE])
    assert allowed([statement(), denial], "ec2:Move", [ADDRESS])


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "expected"),
    [
        ("StringEquals", "aws:ResourceTag/role", "lb", True),
        ("StringEquals", "aws:ResourceTag/role", ["app", "lb"], True),
        ("StringEquals", "aws:ResourceTag/role", "l*", False),
        ("StringLike", "aws:ResourceTag/role", "l*", True),
        ("StringEquals", "aws:ResourceTag/other", "lb", False),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["slot", "Name"], True),
        ("ForAllValues:StringEquals", "aws:TagKeys", "Name", False),
        ("ForAllValues:StringEquals", "absent", "Name", True),
        ("ForAnyValue:StringEquals", "absent", "Name", False),
        ("StringLike", "aws:userid", "*:${ec2:InstanceID}", True),
        ("StringEquals", "aws:userid", "AROA1:${ec2:InstanceID}", True),
        ("StringEquals", "aws:userid", "*:${ec2:InstanceID}", False),
        ("StringLike", "aws:userid", "*:${ec2:InstanceID}0", False),
        ("StringLike", "aws:userid", "*:${absent}", False),
    ],
)
def test_conditions_are_asked_of_the_resource_and_the_call(
    operator: str, key: str, wanted: str | list[str], expected: bool
) -> None:
    found = statement(Condition={operator: {key: wanted}})

    assert allowed([found], "ec2:Move", [NODE]) is expected


def test_all_conditions_of_a_statement_must_hold() -> None:
    holds = {"aws:ResourceTag/role": "lb"}
    found = statement(
        Condition={"StringEquals": holds, "StringLike": {"aws:TagKeys": "x*"}}
    )

    assert not allowed([found], "ec2:Move", [NODE])


@pytest.mark.parametrize(
    "unknown",
    [
        {"NotAction": "ec2:Move"},
        {"Condition": {"StringEqualsIfExists": {"aws:ResourceTag/role": "lb"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
        {"Condition": {"StringLike": {"aws:userid": "*:${ec2:Kind}"}}},
    ],
)
def test_what_is_not_known_is_an_error(unknown: dict[str, Any]) -> None:
    with pytest.raises(LabError, match="teach it"):
        allowed([statement(**unknown)], "ec2:Move", [NODE])
