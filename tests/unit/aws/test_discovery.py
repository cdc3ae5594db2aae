"""Discovery's pure part: names, what is awaited and what cannot be waited for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portway.aws.discovery import (
    Answers,
    Need,
    NotReady,
    Outputs,
    assemble,
    read_outputs,
)
from portway.aws.errors import one_line
from portway.aws.names import name_nodes
from portway.contract.address import AddressKind, AddressObject
from portway.errors import PortwayError
from portway.model.stack import Ports, Role, Stack
from tests.unit.samples import saved_and_read

LAUNCH = datetime(2026, 1, 1, tzinfo=UTC)
PORTS = Ports(9000, 10999, 8081, 8404)
STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/messages/1"
VALUES = {
    "AddressKind": "elastic-ip",
    "VirtualAddress": "192.0.2.1",
    "AddressObjects": "eipalloc-1",
    "DatabaseIdentifier": "db",
    "ApplicationSecretArn": "arn:a",
    "ApplicationGroupName": "group",
    "ClientPortFrom": "9000",
    "ClientPortTo": "10999",
    "HealthPort": "8081",
    "StatsPort": "8404",
}


OUTPUTS = Outputs(
    AddressKind.ELASTIC_IP,
    "192.0.2.1",
    ("eipalloc-1",),
    "db",
    "arn:a",
    "group",
    PORTS,
    account="123456789012",
)


def described(**values: str) -> dict[str, Any]:
    """A stack with these outputs, the others as usual."""
    outputs = [{"OutputKey": k, "OutputValue": v} for k, v in (VALUES | values).items()]
    return {"StackName": "messages", "StackId": STACK_ID, "Outputs": outputs}


def instance(number: int, role: Role, name: str, **changes: Any) -> dict[str, Any]:
    tags = {"Name": name, "portway:stack": "messages", "portway:role": role.value}
    attachment = {"DeviceIndex": 0, "AttachTime": LAUNCH + timedelta(seconds=number)}
    plain = {
        "InstanceId": f"i-{number:017x}",
        "State": {"Name": "running"},
        "PrivateIpAddress": f"10.60.0.{number}",
        "Placement": {"AvailabilityZone": "eu-central-1a"},
        "SubnetId": "subnet-1",
        "NetworkInterfaces": [
            {"NetworkInterfaceId": f"eni-{number}", "Attachment": attachment}
        ],
        "LaunchTime": LAUNCH + timedelta(seconds=number),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items() if value],
    }
    return plain | changes


def answers(**changes: Any) -> Answers:
    plain: dict[str, Any] = {
        "instances": [
            instance(1, Role.LOAD_BALANCER, "lb-1"),
            instance(2, Role.LOAD_BALANCER, "lb-2"),
            instance(3, Role.APPLICATION, "app"),
        ],
        "groups": [
            {
                "AutoScalingGroupName": "group",
                "DesiredCapacity": 1,
                "Instances": [
                    {"InstanceId": f"i-{3:017x}", "LifecycleState": "InService"}
                ],
            }
        ],
        "databases": [
            {
                "DBInstanceStatus": "available",
                "Engine": "postgres",
                "DBName": "messages",
                "Endpoint": {"Address": "db.test", "Port": 5432},
                "MasterUserSecret": {"SecretArn": "arn:m"},
            }
        ],
        "address": [{"AllocationId": "eipalloc-1", "PublicIp": "192.0.2.1"}],
    }
    return Answers(**plain | changes)


def test_a_restart_does_not_make_a_node_younger() -> None:
    restarted = LAUNCH + timedelta(days=30)
    first, second = (
        instance(1, Role.LOAD_BALANCER, "lb-1", LaunchTime=restarted),
        instance(2, Role.LOAD_BALANCER, "lb-2"),
    )

    nodes = {node.name: node for node in name_nodes("messages", [first, second])}

    assert nodes["lb-1"].launched_at < nodes["lb-2"].launched_at


def assembled(kind: AddressKind, address: str, *objects: str, found: Any) -> Stack:
    outputs = replace(
        OUTPUTS, address_kind=kind, address=address, address_objects=objects
    )
    return assemble("messages", "eu-central-1", outputs, answers(address=found))


def test_the_holder_of_an_elastic_ip_is_told_by_its_interface() -> None:
    held = [
        {
            "AllocationId": "eipalloc-1",
            "PublicIp": "192.0.2.1",
            "InstanceId": "i-9",
            "NetworkInterfaceId": "eni-9",
        }
    ]

    found = assemble("messages", "eu-central-1", OUTPUTS, answers(address=held))

    assert found.virtual_address.holder == "eni-9"


def test_an_elastic_ip_that_was_released_is_refused() -> None:
    with pytest.raises(PortwayError, match=r"192\.0\.2\.1 \(eipalloc-1\) was released"):
        assemble("messages", "eu-central-1", OUTPUTS, answers(address=[]))


def test_a_private_address_that_is_primary_is_refused() -> None:
    found = [{"NetworkInterfaceId": "eni-9", "PrivateIpAddress": "10.60.0.5"}]

    with pytest.raises(PortwayError, match="is the primary address of eni-9"):
        assembled(AddressKind.PRIVATE, "10.60.0.5", "subnet-1", found=found)

    stack = assembled(AddressKind.PRIVATE, "10.60.0.250", "subnet-1", found=found)
    assert stack.virtual_address.objects == (AddressObject("subnet-1", "eni-9"),)


def table(id_: str, **routes: str) -> dict[str, Any]:
    """A route table of a VPC 10.60.0.0/16, with routes to interfaces."""
    local = {"DestinationCidrBlock": "10.60.0.0/16", "GatewayId": "local"}
    others = [
        {"DestinationCidrBlock": to, "NetworkInterfaceId": eni, "State": "active"}
        for eni, to in routes.items()
    ]
    return {"RouteTableId": id_, "Routes": [local, *others]}


def test_route_tables_that_do_not_exist_are_named() -> None:
    found = [table("rtb-2")]

    with pytest.raises(PortwayError) as caught:
        assembled(
            AddressKind.ROUTE, "10.255.0.1", "rtb-3", "rtb-2", "rtb-1", found=found
        )

    assert "its route tables rtb-1 and rtb-3 do not exist" in caught.value.message
    assert "RouteTableIds" in caught.value.message


def test_route_tables_of_a_vpc_that_another_account_shares_are_refused() -> None:
    own, foreign = (
        table(id_) | {"OwnerId": owner}
        for id_, owner in (("rtb-1", OUTPUTS.account), ("rtb-2", "210987654321"))
    )

    with pytest.raises(PortwayError) as caught:
        assembled(
            AddressKind.ROUTE, "10.255.0.1", "rtb-1", "rtb-2", found=[own, foreign]
        )

    assert "its route tables rtb-2 belong to account 210987654321" in str(caught.value)
    assert "elastic-ip or private-address" in str(caught.value)
    assert assembled(AddressKind.ROUTE, "10.255.0.1", "rtb-1", found=[own])
    assert read_outputs(described()).account == OUTPUTS.account


def test_an_address_that_the_vpc_routes_itself_is_refused() -> None:
    with pytest.raises(PortwayError) as caught:
        assembled(AddressKind.ROUTE, "10.60.9.9", "rtb-1", found=[table("rtb-1")])

    assert "10.60.9.9 is inside the VPC's range 10.60.0.0/16" in caught.value.message
    assert "such as 10.255.0.1" in caught.value.message


def test_routes_are_places_in_the_order_of_the_outputs() -> None:
    found = [table("rtb-2", eni="10.255.0.1/32"), table("rtb-1")]

    address = assembled(
        AddressKind.ROUTE, "10.255.0.1", "rtb-1", "rtb-2", found=found
    ).virtual_address

    assert address.objects == (
        AddressObject("rtb-1", exists=False),
        AddressObject("rtb-2", "eni"),
    )
    assert address.holder is None


@pytest.mark.parametrize(
    ("values", "objects"),
    [
        ({"AddressKind": "route", "AddressObjects": "rtb-1,rtb-2"}, ("rtb-1", "rtb-2")),
        (
            {"AddressKind": "private-address", "AddressObjects": "subnet-1"},
            ("subnet-1",),
        ),
    ],
)
def test_outputs_name_the_objects_of_the_address(
    values: dict[str, str], objects: tuple[str, ...]
) -> None:
    outputs = read_outputs(described(**values))

    assert outputs.address_kind == values["AddressKind"]
    assert outputs.address_objects == objects


def test_an_output_that_is_no_kind_of_address_is_named() -> None:
    with pytest.raises(PortwayError, match=r"AddressKind \(one of .*\) invalid in"):
        read_outputs(described(AddressKind="anycast"))


def test_everything_that_is_awaited_is_told_at_once() -> None:
    creating = [{"DBInstanceStatus": "creating", "Engine": "postgres"}]
    group = {"AutoScalingGroupName": "group", "DesiredCapacity": 2, "Instances": []}

    with pytest.raises(NotReady) as caught:
        assemble(
            "messages",
            "eu-central-1",
            OUTPUTS,
            answers(databases=creating, groups=[group]),
        )

    assert "2 of 2 application nodes of group" in str(caught.value)
    assert "an endpoint for database db (creating)" in str(caught.value)


def test_what_waiting_cannot_mend_is_told_while_other_things_are_awaited() -> None:
    creating = [{"DBInstanceStatus": "creating", "Engine": "postgres"}]
    none = answers().instances[:0]

    with pytest.raises(PortwayError, match="none of its load balancers is running"):
        assemble(
            "messages",
            "eu-central-1",
            OUTPUTS,
            answers(databases=creating, instances=none),
        )


def test_outputs_that_are_missing_are_all_named() -> None:
    with pytest.raises(PortwayError, match="DatabaseIdentifier and StatsPort missing"):
        read_outputs(
            {
                "StackName": "messages",
                "Outputs": [
                    {"OutputKey": key, "OutputValue": value}
                    for key, value in VALUES.items()
                    if key not in ("DatabaseIdentifier", "StatsPort")
                ],
            }
        )


def test_an_output_that_is_no_port_is_named() -> None:
    with pytest.raises(PortwayError, match="HealthPort invalid in its outputs"):
        read_outputs(described(HealthPort="http"))


def test_what_aws_says_is_put_on_one_line_without_its_appendix() -> None:
    said = "You are\nnot authorized. Encoded authorization failure message: x9"

    assert one_line(said) == "You are not authorized."


def group(desired: int, **members: str) -> list[dict[str, Any]]:
    """The scaling group, with the state of each of its instances by number."""
    listed = [
        {"InstanceId": f"i-{int(number[1:]):017x}", "LifecycleState": state}
        for number, state in members.items()
    ]
    return [
        {
            "AutoScalingGroupName": "group",
            "DesiredCapacity": desired,
            "Instances": listed,
        }
    ]


def read(**changes: Any) -> Stack:
    return assemble("messages", "eu-central-1", OUTPUTS, answers(**changes))


def test_nodes_that_were_not_launched_leave_a_stack_to_work_with() -> None:
    with pytest.raises(NotReady, match="1 of 2 application nodes of group") as caught:
        read(groups=group(2, n3="InService"))
    assert caught.value.stack
    assert len(caught.value.stack.nodes) == 3


def test_no_node_at_all_leaves_nothing_to_work_with() -> None:
    with pytest.raises(NotReady) as caught:
        read(groups=group(2), instances=answers().instances[:2])
    assert caught.value.stack is None


@pytest.mark.parametrize(
    "state", ["Standby", "EnteringStandby", "Terminating:Wait", "Warmed:Running"]
)
def test_instance_out_of_service_in_its_group_is_no_node(state: str) -> None:
    both = [*answers().instances, instance(4, Role.APPLICATION, "app")]
    found = read(instances=both, groups=group(1, n3="InService", n4=state))
    (node,) = found.with_role(Role.APPLICATION)
    assert node.instance_id == f"i-{3:017x}"
    again = read(instances=both, groups=group(2, n3="InService", n4="InService"))
    assert len(again.with_role(Role.APPLICATION)) == 2, "the state alone was why"


def test_instance_that_its_group_waits_for_is_known_as_leaving() -> None:
    both = [*answers().instances, instance(4, Role.APPLICATION, "app")]
    for state, leaving in (
        ("InService", ()),
        ("Standby", ()),
        ("Terminating:Wait", ("10.60.0.4",)),
        ("Terminating:Proceed", ("10.60.0.4",)),
    ):
        found = read(instances=both, groups=group(1, n3="InService", n4=state))
        assert found.leaving == leaving
    gone = instance(4, Role.APPLICATION, "app", State={"Name": "shutting-down"})
    over = group(1, n3="InService", n4="Terminating:Proceed")
    found = read(instances=[*answers().instances, gone], groups=over)
    assert found.leaving == ()


def test_instance_that_left_its_group_is_a_node_by_its_tags() -> None:
    both = [*answers().instances, instance(4, Role.APPLICATION, "app")]
    found = read(instances=both, groups=group(1, n3="InService", n4="Detaching"))
    assert len(found.with_role(Role.APPLICATION)) == 2


@pytest.mark.parametrize(
    "changes", [{"PrivateIpAddress": None}, {"NetworkInterfaces": []}]
)
def test_running_instance_without_an_address_is_named(changes: dict[str, Any]) -> None:
    odd = instance(4, Role.APPLICATION, "odd", **changes)
    with pytest.raises(PortwayError, match=r"odd \(i-0+4\) is running and has no priv"):
        read(instances=[*answers().instances, odd])


def test_second_interface_is_not_taken_for_the_first() -> None:
    first = instance(4, Role.APPLICATION, "two")
    second = {"NetworkInterfaceId": "eni-x", "Attachment": {"DeviceIndex": 1}}
    first["NetworkInterfaces"].insert(0, second)
    found = read(instances=[*answers().instances, first])
    assert [n.interface_id for n in found.nodes if n.name == "two"] == ["eni-4"]


STOPPED = {
    "DBInstanceStatus": "stopped",
    "Engine": "postgres",
    "Endpoint": {"Address": "db.test", "Port": 5432},
    "MasterUserSecret": {"SecretArn": "arn:m"},
}


def test_stopped_database_stops_only_what_needs_it_to_serve() -> None:
    with pytest.raises(PortwayError, match="its database db is stopped"):
        read(databases=[STOPPED])
    found = read(databases=[STOPPED], need=Need.ENDPOINT)
    assert found.needed_database().address == "db.test"


def test_database_that_was_not_asked_for_is_missed_only_by_what_needs_it() -> None:
    found = read(databases=None, need=Need.NOTHING)
    assert saved_and_read(found) == found
    with pytest.raises(PortwayError, match="did not read its database"):
        found.needed_database()


@pytest.mark.parametrize("status", ["failed", "restore-error"])
def test_lost_database_without_an_endpoint_is_not_waited_for(status: str) -> None:
    """It will have none."""
    lost = [{"DBInstanceStatus": status, "Engine": "postgres"}]
    with pytest.raises(PortwayError, match=f"its database db is {status}"):
        read(databases=lost, need=Need.ENDPOINT)


def test_one_of_several_that_is_alone_keeps_its_name() -> None:
    """One zone may be without capacity for hours."""
    both = [*answers().instances, instance(4, Role.APPLICATION, "app")]
    tags = [{"Key": "Name", "Value": "app"}]
    of_two = group(2, n3="InService", n4="InService")
    alone = group(2, n3="InService")
    for found in (of_two, alone):
        found[0]["Tags"] = tags

    names = {n.name for n in read(instances=both, groups=of_two).nodes}
    with pytest.raises(NotReady) as caught:
        read(groups=alone)

    assert caught.value.stack
    assert {n.name for n in caught.value.stack.nodes} < names
