"""What somebody changed of the rights of the stack's roles."""

import json
from typing import Any

import pytest

from portway.aws.role_drift import changed_rights
from portway.contract.address import AddressKind
from portway.errors import PortwayError
from tests.integration.conftest import Account, Discovery

MOVES = "move-the-elastic-ip"


def put(account: Account, policy: str, *statements: dict[str, Any], to: str) -> None:
    document = {"Version": "2012-10-17", "Statement": statements}
    account.client("iam").put_role_policy(
        RoleName=account.resource(to),
        PolicyName=policy,
        PolicyDocument=json.dumps(document),
    )


def statements(account: Account) -> dict[str, dict[str, Any]]:
    """The statements of the policy that the mover needs, by ``Sid``."""
    found = account.client("iam").get_role_policy(
        RoleName=account.resource("LoadBalancerRole"), PolicyName=MOVES
    )
    return {one["Sid"]: one for one in found["PolicyDocument"]["Statement"]}


def attachable(account: Account, name: str) -> str:
    """The ARN of a policy that can be attached to roles."""
    may = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [may]}
    made = account.client("iam").create_policy(
        PolicyName=name, PolicyDocument=json.dumps(document)
    )
    return str(made["Policy"]["Arn"])


@pytest.mark.parametrize("kind", AddressKind)
def test_what_the_template_made_is_as_it_says(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    assert changed_rights(discover()) == ()


def test_policy_that_was_added_is_told(stack: Account, discover: Discovery) -> None:
    may = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}
    put(stack, "by-hand", may, to="ApplicationRole")
    (changed,) = changed_rights(discover())
    id_ = stack.resource("ApplicationRole")
    assert changed.resource == f"ApplicationRole ({id_})"
    assert changed.what == "policy by-hand was added"
    (line,) = changed.diff
    assert json.loads(line.removeprefix("-"))["Statement"] == [may]
    assert not changed.is_kept


def test_policy_that_was_attached_is_told(stack: Account, discover: Discovery) -> None:
    arn = attachable(stack, "everything")
    id_ = stack.resource("LoadBalancerRole")
    stack.client("iam").attach_role_policy(RoleName=id_, PolicyArn=arn)
    (changed,) = changed_rights(discover())
    assert changed.resource == f"LoadBalancerRole ({id_})"
    assert changed.what == "policy everything was attached"
    assert changed.diff == (f"-{arn}",)


def test_what_a_role_got_on_purpose_says_its_tag(
    stack: Account, discover: Discovery
) -> None:
    iam, id_ = stack.client("iam"), stack.resource("ApplicationRole")
    may = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    put(stack, "reads-the-catalogue", may, to="ApplicationRole")
    arn = attachable(stack, "session-manager")
    iam.attach_role_policy(RoleName=id_, PolicyArn=arn)
    iam.tag_role(
        RoleName=id_,
        Tags=[
            {
                "Key": "portway:kept",
                "Value": "session-manager reads-the-catalogue",
            }
        ],
    )
    assert [change.is_kept for change in changed_rights(discover())] == [True, True]
    put(stack, "something-else", may, to="ApplicationRole")
    kept = {change.what: change.is_kept for change in changed_rights(discover())}
    assert kept["policy something-else was added"] is False


def test_policy_that_was_removed_is_told(stack: Account, discover: Discovery) -> None:
    id_ = stack.resource("LoadBalancerRole")
    stack.client("iam").delete_role_policy(RoleName=id_, PolicyName=MOVES)
    (changed,) = changed_rights(discover())
    assert changed.what == f"policy {MOVES} was removed"


@pytest.mark.parametrize(
    ("sid", "change"),
    [
        ("SeeWhoHoldsTheAddress", {"Action": ["ec2:DescribeAddresses", "ec2:*"]}),
        ("MoveThisAddress", {"Action": "ec2:ReleaseAddress"}),
        ("MoveThisAddress", {"Resource": "*"}),
        ("MoveThisAddress", {"Resource": "arn:aws:ec2:*:123456789012:elastic-ip/*"}),
        ("ToLoadBalancersOfThisStack", {"Condition": None}),
        (
            "ThroughTheirInterfaces",
            {"Condition": {"Bool": {"aws:ViaAWSService": "no"}}},
        ),
        ("MoveThisAddress", {"Effect": "Deny"}),
        ("MoveThisAddress", {"Action": None, "NotAction": "iam:*"}),
    ],
    ids=str,
)
def test_statement_that_was_changed_is_told(
    stack: Account, discover: Discovery, sid: str, change: dict[str, Any]
) -> None:
    there = statements(stack)
    changed_one = {**there[sid], **change}
    there[sid] = {k: v for k, v in changed_one.items() if v is not None}
    put(stack, MOVES, *there.values(), to="LoadBalancerRole")
    (changed,) = changed_rights(discover())
    assert changed.what == f"policy {MOVES}: statement {sid} was changed"
    assert json.loads(changed.diff[0].removeprefix("-")) == there[sid]
    assert changed.diff[1].startswith("+")


def test_statements_that_came_and_went_are_told_each(
    stack: Account, discover: Discovery
) -> None:
    there = statements(stack)
    del there["MoveThisAddress"]
    by_hand = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}
    put(stack, MOVES, *there.values(), by_hand, to="LoadBalancerRole")
    assert [change.what for change in changed_rights(discover())] == [
        f"policy {MOVES}: statement MoveThisAddress was removed",
        f"policy {MOVES}: statement 3 was added",
    ]


def test_same_rights_in_another_order_are_no_change(
    stack: Account, discover: Discovery
) -> None:
    there = statements(stack)
    seen = there["SeeWhoHoldsTheAddress"]
    there["SeeWhoHoldsTheAddress"] = {**seen, "Action": [seen["Action"]]}
    put(stack, MOVES, *reversed(there.values()), to="LoadBalancerRole")
    assert changed_rights(discover()) == ()


@pytest.mark.parametrize(
    "action",
    [
        "cloudformation:ListStackResources",
        "cloudformation:GetTemplate",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
    ],
)
def test_right_that_is_missing_is_named(
    stack: Account, discover: Discovery, action: str
) -> None:
    found = discover()
    stack.aws.refuse(action, "AccessDenied", "not authorized")
    with pytest.raises(PortwayError, match=f"may not call {action} in"):
        changed_rights(found)
