"""cloudformation/stack.yaml: load balancers that come back, and how to get them."""

import pytest

from portway.aws.preparing import Unprepared
from portway.contract.address import AddressKind
from portway.model.stack import Role
from portway.render.agent import user_data as first_boot
from tests.integration.conftest import (
    ADDRESSES,
    REGION,
    STACK,
    Account,
    Discovery,
    Resource,
    of_type,
)


def load_balancers(discover: Discovery) -> dict[str, str]:
    """The load balancers by name, the master of record first."""
    found = discover().with_role(Role.LOAD_BALANCER)
    return {node.name: node.instance_id for node in found}


@pytest.mark.parametrize("lost", ["lb-1", "lb-2"])
def test_a_terminated_load_balancer_comes_back_under_its_name(
    stack: Account, discover: Discovery, lost: str
) -> None:
    before = load_balancers(discover)
    where = {i["SubnetId"] for i in stack.instances("load-balancer")}
    assert list(before) == ["lb-1", "lb-2"]

    stack.client("ec2").terminate_instances(InstanceIds=[before[lost]])

    after = load_balancers(discover)
    (survivor,) = before.keys() - {lost}
    assert list(after) == [survivor, lost], "the survivor was launched first"
    assert after[survivor] == before[survivor]
    assert after[lost] != before[lost]
    assert {i["SubnetId"] for i in stack.instances("load-balancer")} == where


def test_what_groups_launch_is_tagged_down_to_the_interface(stack: Account) -> None:
    stack.client("ec2").terminate_instances(InstanceIds=[stack.load_balancer("lb-2")])
    found = stack.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=[stack.interface(name) for name in ("lb-1", "lb-2")]
    )["NetworkInterfaces"]

    assert len(found) == 2
    for interface in found:
        assert {tag["Key"]: tag["Value"] for tag in interface["TagSet"]} == {
            "portway:stack": "messages",
            "portway:role": "load-balancer",
        }


def test_an_update_of_the_stack_meets_no_lost_instance(
    stack: Account, discover: Discovery
) -> None:
    stack.client("ec2").terminate_instances(InstanceIds=[stack.load_balancer("lb-1")])
    before = load_balancers(discover)

    stack.update(ApplicationNodes="3", LoadBalancerInstanceType="t3.medium")

    assert load_balancers(discover) == before


def test_new_load_balancers_get_user_data_and_others_stay(
    stack: Account, discover: Discovery
) -> None:
    def user_data(name: str) -> str:
        found = stack.client("ec2").describe_instance_attribute(
            InstanceId=stack.load_balancer(name), Attribute="userData"
        )
        return str(found["UserData"].get("Value", ""))

    before = load_balancers(discover)
    text = first_boot(STACK, REGION, "inventories/prod.py")
    stack.update(UserData=text)
    assert load_balancers(discover) == before

    stack.client("ec2").terminate_instances(InstanceIds=[before["lb-2"]])
    assert user_data("lb-1") == ""
    assert user_data("lb-2") == text


def test_no_update_policy_replaces_load_balancers(template: Resource) -> None:
    """It would not wait for a run between the first and the second."""
    for name in of_type(template, "AWS::AutoScaling::AutoScalingGroup"):
        assert "UpdatePolicy" not in template["Resources"][name]


def test_the_master_of_record_is_launched_first(template: Resource) -> None:
    second = template["Resources"]["LoadBalancerGroup2"]

    assert "LoadBalancerGroup1" in str(second["Metadata"]["After"])


def test_the_other_load_balancer_may_be_the_first_to_get_one(
    account: Account, discover: Discovery
) -> None:
    """Nothing else launches another lb-1 when that is lost."""
    account.create(LoadBalancersAs="instances")
    first = load_balancers(discover)
    lost = account.client("ec2").terminate_instances
    lost(InstanceIds=[first["lb-1"]])

    account.update(LoadBalancersAs="group-and-instance")

    second = load_balancers(discover)
    assert list(second) == ["lb-2", "lb-1"]
    assert second["lb-2"] == first["lb-2"]
    assert second["lb-1"] != first["lb-1"]

    lost(InstanceIds=[second["lb-2"]])
    account.update(LoadBalancersAs="groups")

    third = load_balancers(discover)
    assert list(third) == ["lb-1", "lb-2"], "the one that serves is left alone"
    assert third["lb-1"] == second["lb-1"]
    assert third["lb-2"] != second["lb-2"]


@pytest.mark.parametrize("kind", AddressKind)
def test_a_stack_of_instances_gets_groups_one_load_balancer_at_a_time(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind, LoadBalancersAs="instances")
    first = load_balancers(discover)
    given = {"AddressKind": kind, **ADDRESSES[kind]}

    account.update(LoadBalancersAs="instance-and-group", **given)
    second = load_balancers(discover)
    account.update(LoadBalancersAs="groups", **given)
    third = load_balancers(discover)

    assert list(first) == ["lb-1", "lb-2"]
    assert list(second) == ["lb-1", "lb-2"], "who has the address is left alone"
    assert second["lb-1"] == first["lb-1"]
    assert second["lb-2"] != first["lb-2"]
    assert list(third) == ["lb-2", "lb-1"], "and later who has it then"
    assert third["lb-2"] == second["lb-2"]
    assert third["lb-1"] != second["lb-1"]


def test_routed_packets_are_let_in_where_a_group_cannot(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE)

    def checks() -> set[bool]:
        return {i["SourceDestCheck"] for i in account.instances("load-balancer")}

    dry = discover().with_role(Role.LOAD_BALANCER)
    assert checks() == {True}
    assert not any(node.source_dest_check for node in dry), "as a run would find it"
    assert left(discover) >= {
        (name, "has its source/destination check on, so it drops what a route sends")
        for name in ("lb-1", "lb-2")
    }

    found = discover(prepares=True).with_role(Role.LOAD_BALANCER)
    assert checks() == {False}
    assert not any(node.source_dest_check for node in found)
    assert "turned the source/destination check of lb-1 off" in "".join(discover.said)

    account.aws.forget()
    discover(prepares=True)
    assert "ec2:ModifyNetworkInterfaceAttribute" not in account.aws.calls
    assert left(discover) == set()


def left(discover: Discovery) -> set[tuple[str, str]]:
    """What a look says that a run would change in AWS."""
    things: list[Unprepared] = []
    discover(leaves=things.append)
    return {(thing.node, thing.what) for thing in things}


@pytest.mark.parametrize("kind", [AddressKind.ELASTIC_IP, AddressKind.PRIVATE])
def test_other_packets_are_not(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)

    found = discover(prepares=True).with_role(Role.LOAD_BALANCER)

    assert all(node.source_dest_check for node in found)
    assert all(i["SourceDestCheck"] for i in account.instances("load-balancer"))


def test_a_check_that_aws_does_not_turn_off_is_told(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE)
    refused = "ec2:ModifyNetworkInterfaceAttribute"
    account.aws.refuse(refused, "UnauthorizedOperation", "not you")

    found = discover(prepares=True).with_role(Role.LOAD_BALANCER)

    assert all(node.source_dest_check for node in found)
    assert "the source/destination check of lb-2" in "".join(discover.said)
