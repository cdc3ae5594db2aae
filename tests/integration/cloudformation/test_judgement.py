"""cloudformation/stack.yaml: what its policies say of the calls that move the address.

They are judged as the lab judges calls: for this version of the template, however its
load balancers are launched, and for the last release's.
"""

import subprocess
from typing import Any

import pytest

from lab.aws.calls import Request
from lab.aws.permissions import is_permitted
from lab.plan import facts
from portway.aws.reading import address_reader
from portway.contract.address import AddressKind, move_calls
from portway.model.stack import Role
from tests.integration.conftest import (
    ADDRESSES,
    FREE,
    REGION,
    TEMPLATE,
    Account,
    Discovery,
)
from tests.releases import LAST_RELEASE

LAUNCHED_BY = ("groups", "instance-and-group", "group-and-instance", "instances")
MOVED_TO_INTERFACES = [AddressKind.ELASTIC_IP, AddressKind.PRIVATE]


@pytest.fixture(autouse=True)
def _judged_where_the_stack_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "REGION", REGION)


def last_release() -> str:
    """The last release's template."""
    done = subprocess.run(
        ["git", "show", f"{LAST_RELEASE}:cloudformation/stack.yaml"],
        cwd=TEMPLATE.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"clone it whole, without --depth: {done.stderr}"
    return done.stdout


def judged(account: Account, caller: str, action: str, **parameters: str) -> bool:
    """Whether the instance of this name may make a call."""
    (address,) = (
        i["PrivateIpAddress"]
        for i in account.instances("load-balancer")
        if i["InstanceId"] == account.load_balancer(caller)
    )
    request = Request(address, "ec2", action, "ec2", parameters)
    return is_permitted(request)


def may_move(
    account: Account, discover: Discovery, caller: str, interface: str
) -> bool:
    """Whether a load balancer may make every call that moves the address there."""
    found = discover()
    virtual = found.virtual_address
    calls = list(
        move_calls(virtual.kind, virtual.address, address_reader(found)(), interface)
    )
    return bool(calls) and all(
        judged(account, caller, call.action.removeprefix("ec2:"), **_texts(call))
        for call in calls
    )


def _texts(call: Any) -> dict[str, str]:
    return {key: v for key, v in call.arguments.items() if isinstance(v, str)}


@pytest.mark.parametrize("kind", AddressKind)
@pytest.mark.parametrize("launched_by", LAUNCHED_BY)
def test_each_load_balancer_may_move_the_address_to_itself_and_to_its_peer(
    account: Account, discover: Discovery, launched_by: str, kind: AddressKind
) -> None:
    account.create_with(kind, LoadBalancersAs=launched_by)

    for caller in ("lb-1", "lb-2"):
        for target in ("lb-1", "lb-2"):
            assert may_move(account, discover, caller, account.interface(target))


@pytest.mark.parametrize("kind", MOVED_TO_INTERFACES)
def test_so_they_may_at_each_step_from_instances_to_groups(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind, LoadBalancersAs="instances")
    given = {"AddressKind": kind, **ADDRESSES[kind]}

    for launched_by in ("instance-and-group", "groups"):
        account.update(LoadBalancersAs=launched_by, **given)
        for target in ("lb-1", "lb-2"):
            assert may_move(account, discover, "lb-1", account.interface(target))

    ec2 = account.client("ec2")
    ec2.delete_tags(
        Resources=[account.interface("lb-2")], Tags=[{"Key": "portway:stack"}]
    )
    assert not may_move(account, discover, "lb-1", account.interface("lb-2"))


@pytest.mark.parametrize("kind", AddressKind)
def test_so_may_those_of_a_stack_of_the_last_release(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    """A stack is updated when its owner chooses, maybe after the nodes."""
    account.create_with(kind, template=last_release())

    assert may_move(account, discover, "lb-1", account.interface("lb-1"))
    assert may_move(account, discover, "lb-1", account.interface("lb-2"))


@pytest.mark.parametrize("launched_by", LAUNCHED_BY)
def test_so_may_nodes_of_the_last_release_which_name_the_instance(
    account: Account, launched_by: str
) -> None:
    """A stack may be updated before its nodes, too."""
    account.create(LoadBalancersAs=launched_by)
    (allocation,) = account.address_objects()

    assert judged(
        account,
        "lb-1",
        "AssociateAddress",
        AllocationId=allocation,
        InstanceId=account.load_balancer("lb-2"),
    )


@pytest.mark.parametrize("kind", MOVED_TO_INTERFACES)
@pytest.mark.parametrize("tagged", ["", "portway:stack", "portway:role"])
def test_the_address_moves_to_no_interface_without_both_tags(
    account: Account, discover: Discovery, kind: AddressKind, tagged: str
) -> None:
    """Of another machine in the same subnet, which nobody attached an instance to."""
    account.create_with(kind)
    ec2 = account.client("ec2")
    (found,) = account.instances("load-balancer")[:1]
    place = {"SubnetId": found["SubnetId"], "PrivateIpAddress": FREE}
    made = ec2.create_network_interface(**place)
    interface = made["NetworkInterface"]["NetworkInterfaceId"]
    values = {"portway:stack": "messages", "portway:role": "load-balancer"}
    if tagged:
        tags = [{"Key": tagged, "Value": values[tagged]}]
        ec2.create_tags(Resources=[interface], Tags=tags)
    assert not may_move(account, discover, "lb-1", interface)

    tags = [{"Key": key, "Value": value} for key, value in values.items()]
    ec2.create_tags(Resources=[interface], Tags=tags)
    assert may_move(account, discover, "lb-1", interface)


def test_the_address_does_not_move_to_application_nodes(
    account: Account, discover: Discovery
) -> None:
    account.create(LoadBalancersAs="instances")
    node = discover().with_role(Role.APPLICATION)[0]

    assert not may_move(account, discover, "lb-1", node.interface_id)


@pytest.mark.parametrize(
    ("target", "attributes", "expected"),
    [
        ("lb-1", {"SourceDestCheck.Value": "false"}, True),
        ("lb-1", {"SourceDestCheck.Value": "true"}, False),
        ("lb-1", {"Description.Value": "false"}, False),
        ("app", {"SourceDestCheck.Value": "false"}, False),
    ],
)
def test_operators_turn_off_the_check_of_load_balancers_and_nothing_else(
    account: Account,
    discover: Discovery,
    target: str,
    attributes: dict[str, str],
    expected: bool,
) -> None:
    account.create_with(AddressKind.ROUTE)
    iam = account.client("iam")
    iam.create_user(UserName=facts.OPERATOR_USER)
    arn = account.outputs()["OperatorPolicyArn"]
    iam.attach_user_policy(UserName=facts.OPERATOR_USER, PolicyArn=arn)
    node = next(n for n in discover().nodes if n.name.startswith(target))

    request = Request(
        "192.0.2.9",
        "ec2",
        "ModifyNetworkInterfaceAttribute",
        "ec2",
        {"NetworkInterfaceId": node.interface_id, **attributes},
        facts.CREDENTIALS["AWS_ACCESS_KEY_ID"],
    )

    assert is_permitted(request) is expected


def test_an_assumed_role_may_do_what_its_policies_say(stack: Account) -> None:
    iam, sts = stack.client("iam"), stack.client("sts")
    role = iam.create_role(RoleName="operators", AssumeRolePolicyDocument="{}")["Role"]
    given = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
    key = given["AccessKeyId"]

    def may(action: str) -> bool:
        request = Request("192.0.2.130", "ec2", action, "ec2", {}, key)
        return is_permitted(request)

    assert not may("DescribeInstances")
    policy = stack.outputs()["OperatorPolicyArn"]
    iam.attach_role_policy(RoleName="operators", PolicyArn=policy)
    assert may("DescribeInstances")
    assert not may("TerminateInstances")


def test_a_users_own_key_may_do_what_the_users_policies_say(stack: Account) -> None:
    iam = stack.client("iam")
    iam.create_user(UserName="somebody")
    key = iam.create_access_key(UserName="somebody")["AccessKey"]["AccessKeyId"]

    def may(action: str) -> bool:
        request = Request("192.0.2.130", "ec2", action, "ec2", {}, key)
        return is_permitted(request)

    assert not may("DescribeInstances")
    policy = stack.outputs()["OperatorPolicyArn"]
    iam.attach_user_policy(UserName="somebody", PolicyArn=policy)
    assert may("DescribeInstances")
    assert not may("TerminateInstances")
