"""What CloudFormation finds changed of what it made, and how it is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lab.aws.corrections import stack_drift as in_the_lab
from portway.aws import stack_drift
from portway.aws.stack_drift import Changed, Detected, detect
from portway.errors import PortwayError
from tests.integration.conftest import Account, Discovery

STATUS = "cloudformation:DescribeStackDriftDetectionStatus"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS takes a moment, and is asked often."""
    monkeypatch.setattr(in_the_lab, "SECONDS", 0.2)
    monkeypatch.setattr(stack_drift, "POLL_SECONDS", 0.05)


def until_it_ends(pauses: int) -> Callable[[float], None]:
    """A sleep that takes no time; after so many, what AWS has begun is over."""
    left = iter(range(pauses - 1, -1, -1))

    def sleep(_: float) -> None:
        if not next(left, 0):
            for detection in in_the_lab._detections.values():
                detection.until = 0

    return sleep


def rule(
    network: str = "203.0.113.9/32", port: int = 22, **words: str
) -> dict[str, Any]:
    return {
        "IpPermissions": [
            {
                "IpProtocol": "tcp",
                "FromPort": port,
                "ToPort": port,
                "IpRanges": [{"CidrIp": network, **words}],
            }
        ]
    }


def test_what_the_template_made_is_as_it_says(
    account: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.create(ConnectEndpoint="yes", ClientCidrs="10.1.0.0/16,10.2.0.0/16")
    monkeypatch.setattr(in_the_lab, "SECONDS", 60)
    assert detect(discover(), 30, sleep=until_it_ends(pauses=3)) == Detected()
    assert account.aws.calls.count(STATUS) == 3


def test_rule_that_was_added_is_told_with_its_group(
    stack: Account, discover: Discovery
) -> None:
    group = stack.resource("ClientsSecurityGroup")
    stack.client("ec2").authorize_security_group_ingress(GroupId=group, **rule())
    (changed,) = detect(discover(), 30).changed
    assert changed.resource == f"ClientsSecurityGroup ({group})"
    assert changed.what == "/SecurityGroupIngress/1 was added"
    (line,) = changed.diff
    assert line.startswith("-")
    assert json.loads(line[1:]) == {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "CidrIp": "203.0.113.9/32",
    }


def test_rule_that_is_no_resource_is_told_where_rules_are_resources(
    stack: Account, discover: Discovery
) -> None:
    group = stack.resource("DatabaseSecurityGroup")
    added = stack.client("ec2").authorize_security_group_ingress(
        GroupId=group, **rule()
    )
    (id_,) = (one["SecurityGroupRuleId"] for one in added["SecurityGroupRules"])
    (changed,) = detect(discover(), 30).changed
    assert changed.resource == f"DatabaseSecurityGroup ({group})"
    assert changed.what == f"{id_} was added"
    assert json.loads(changed.diff[0].removeprefix("-")) == {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "CidrIpv4": "203.0.113.9/32",
    }


def test_rules_that_are_gone_are_told(stack: Account, discover: Discovery) -> None:
    ec2 = stack.client("ec2")
    database = stack.resource("DatabaseSecurityGroup")
    ec2.revoke_security_group_egress(
        GroupId=database,
        IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}],
    )
    balancers = stack.resource("LoadBalancerSecurityGroup")
    ec2.revoke_security_group_ingress(GroupId=balancers, **rule("10.60.0.0/16"))
    found = {
        change.resource.split(" ")[0]: change
        for change in detect(discover(), 30).changed
    }
    assert found.keys() == {"DatabaseSecurityGroup", "LoadBalancerSsh"}
    assert found["LoadBalancerSsh"].what == "was deleted"
    gone = found["DatabaseSecurityGroup"]
    assert gone.what == "/SecurityGroupEgress/0 was removed"
    assert gone.diff == ('+{"CidrIp": "127.0.0.1/32", "IpProtocol": "-1"}',)


def test_role_that_others_may_take_is_told(stack: Account, discover: Discovery) -> None:
    role = stack.resource("LoadBalancerRole")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "sts:AssumeRole",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    stack.client("iam").update_assume_role_policy(
        RoleName=role, PolicyDocument=document
    )
    (changed,) = detect(discover(), 30).changed
    assert changed.resource.startswith("LoadBalancerRole (")
    assert changed.what == "/AssumeRolePolicyDocument was changed"
    assert [line[0] for line in changed.diff] == ["-", "+"]
    assert "ec2.amazonaws.com" in changed.diff[1]


def test_what_the_template_does_not_say_is_not_compared(
    stack: Account, discover: Discovery
) -> None:
    """No egress, as docs/drift.md says; and no rights, which are compared elsewhere."""
    may = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}
    group = stack.resource("ApplicationSecurityGroup")
    stack.client("ec2").authorize_security_group_egress(GroupId=group, **rule())
    stack.client("iam").put_role_policy(
        RoleName=stack.resource("ApplicationRole"),
        PolicyName="by-hand",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]}),
    )
    assert detect(discover(), 30) == Detected()


@pytest.mark.parametrize(
    ("group", "said", "kept"),
    [
        ("ClientsSecurityGroup", "kept: Prometheus", True),
        ("ClientsSecurityGroup", "not kept: Prometheus", False),
        ("LoadBalancerSecurityGroup", "kept: Prometheus", True),
        ("LoadBalancerSecurityGroup", "Prometheus", False),
    ],
)
def test_rule_that_was_added_on_purpose_says_so(
    stack: Account, discover: Discovery, group: str, said: str, kept: bool
) -> None:
    stack.client("ec2").authorize_security_group_ingress(
        GroupId=stack.resource(group), **rule(Description=said)
    )
    (changed,) = detect(discover(), 30).changed
    assert changed.is_kept == kept


def test_detection_of_somebody_else_is_waited_for(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = discover()
    monkeypatch.setattr(in_the_lab, "SECONDS", 60)
    stack.client("cloudformation").detect_stack_drift(StackName="messages")
    stack.aws.forget()
    assert detect(found, 30, sleep=until_it_ends(pauses=2)) == Detected()
    assert stack.aws.calls.count("cloudformation:DetectStackDrift") == 3


def test_what_takes_too_long_is_given_up(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_the_lab, "SECONDS", 60)
    pauses: list[float] = []
    with pytest.raises(PortwayError, match="did not say within 1 s"):
        detect(discover(), 1, sleep=pauses.append, clock=lambda: sum(pauses))
    assert 0.9 < sum(pauses) <= 1


@pytest.mark.parametrize(
    "action",
    [
        "ListStackResources",
        "DetectStackDrift",
        "DescribeStackDriftDetectionStatus",
        "DescribeStackResourceDrifts",
    ],
)
def test_right_that_is_missing_is_named(
    stack: Account, discover: Discovery, action: str
) -> None:
    found = discover()
    stack.aws.refuse(f"cloudformation:{action}", "AccessDenied", "not authorized")
    with pytest.raises(PortwayError, match=f"may not call cloudformation:{action} in"):
        detect(found, 30)


def test_what_could_not_be_compared_is_told_beside_the_rest(
    stack: Account, discover: Discovery
) -> None:
    group = stack.resource("ClientsSecurityGroup")
    stack.client("ec2").authorize_security_group_ingress(GroupId=group, **rule())
    stack.aws.edit(
        STATUS,
        lambda text: text.replace("DETECTION_COMPLETE", "DETECTION_FAILED").replace(
            "User Initiated", "Failed to detect drift on resource [LoadBalancerRole]"
        ),
    )
    detected = detect(discover(), 30)
    assert [change.what for change in detected.changed] == [
        "/SecurityGroupIngress/1 was added"
    ]
    assert "resource [LoadBalancerRole]" in detected.unknown


def test_older_findings_about_what_was_not_compared_now_do_not_count(
    stack: Account, discover: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = stack.resource("ClientsSecurityGroup")
    stack.client("ec2").authorize_security_group_ingress(GroupId=group, **rule())
    assert detect(discover(), 30).changed
    monkeypatch.delitem(in_the_lab.COMPARED, in_the_lab.GROUP)
    assert detect(discover(), 30) == Detected()


def test_values_that_are_no_json_are_shown_as_they_are() -> None:
    drift = {
        "LogicalResourceId": "Role",
        "StackResourceDriftStatus": "MODIFIED",
        "PropertyDifferences": [
            {
                "PropertyPath": "/Description",
                "ExpectedValue": "as said",
                "ActualValue": "another",
                "DifferenceType": "NOT_EQUAL",
            }
        ],
    }
    assert list(stack_drift._changes(drift)) == [
        Changed("Role", "/Description was changed", ("-another", "+as said"))
    ]
