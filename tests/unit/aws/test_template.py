"""What can have come of what a template says."""

from typing import Any

import pytest

from portway.aws.template import can_be

EITHER = {"Fn::If": ["Yes", "a", {"Ref": "AWS::NoValue"}]}


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("a", "a"),
        (True, "true"),
        ("a", ["a"]),
        (["a"], "a"),
        (["a", "b"], ["b", "a"]),
        ({"Ref": "Role"}, "role-1"),
        ({"Fn::GetAtt": "Role.Arn"}, "arn:aws:iam::1:role/role-1"),
        ({"Fn::Sub": "arn:${AWS::Partition}:ec2:*"}, "arn:aws-cn:ec2:*"),
        ({"Fn::Sub": ["${Id}/*", {"Id": {"Ref": "Group"}}]}, "sg-1/*"),
        ({"Fn::Sub": "${!aws:username}-${Name}"}, "${aws:username}-x"),
        (EITHER, "a"),
        (EITHER, None),
        (["b", EITHER], ["b"]),
        (["b", EITHER], ["a", "b"]),
        ({"k": EITHER}, {}),
        ({"k": {"Ref": "Role"}, "l": ["a"]}, {"k": "x", "l": "a"}),
    ],
)
def test_it_can(said: Any, there: Any) -> None:
    assert can_be(said, there)


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("a", "b"),
        ("a", "A"),
        ("None", None),
        ("a", None),
        ("a", ["a", "b"]),
        (["a", "b"], ["a"]),
        (["a"], ["a", "a"]),
        ({"Ref": "Role"}, "*"),
        ({"Ref": "Role"}, ["x", "y"]),
        ({"Fn::GetAtt": "Role.Arn"}, "arn:aws:iam::1:role/*"),
        ({"Fn::Sub": "arn:${AWS::Partition}:ec2:instance/*"}, "arn:*:ec2:instance/*"),
        ({"Fn::Sub": "arn:${AWS::Partition}:ec2"}, "arn:aws:ec2:*"),
        ({"Fn::Sub": "a.${Name}"}, "abx"),
        (EITHER, "b"),
        ({"k": "a"}, {}),
        ({}, {"k": "a"}),
        ({"k": "a"}, "a"),
    ],
)
def test_it_cannot(said: Any, there: Any) -> None:
    assert not can_be(said, there)
