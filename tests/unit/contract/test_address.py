"""The places of an address: what is asked, what an answer means, what is claimed."""

from typing import Any

import pytest

from portway.contract.address import (
    AddressKind,
    AddressObject,
    address_objects,
    describe_call,
    move_calls,
)

ALLOCATION, SUBNET, TABLES = ("eipalloc-1",), ("subnet-1",), ("rtb-1", "rtb-2")
PUBLIC, PRIVATE, OVERLAY = "203.0.113.9", "10.60.0.250", "10.255.0.1"


def table(id_: str, **route: Any) -> dict[str, Any]:
    routes = [
        {"DestinationCidrBlock": "10.60.0.0/16", "GatewayId": "local"},
        {"DestinationIpv6CidrBlock": "2001:db8::/64", "GatewayId": "local"},
        {"DestinationCidrBlock": "10.255.0.0/24", "NetworkInterfaceId": "eni-other"},
    ]
    if route:
        routes.append({"DestinationCidrBlock": f"{OVERLAY}/32", **route})
    return {"RouteTableId": id_, "Routes": routes}


def routes_to(*tables: dict[str, Any]) -> tuple[AddressObject, ...]:
    return address_objects(AddressKind.ROUTE, OVERLAY, TABLES, tables)


def made(
    kind: AddressKind, address: str, *seen: AddressObject
) -> list[tuple[str, Any]]:
    calls = move_calls(kind, address, seen, "eni-own")
    return [(call.action, call.arguments) for call in calls]


def test_each_kind_is_looked_for_by_its_objects() -> None:
    call, key = describe_call(AddressKind.ELASTIC_IP, PUBLIC, ALLOCATION)
    assert (call.action, key) == ("ec2:DescribeAddresses", "Addresses")
    assert call.arguments == {"AllocationIds": ["eipalloc-1"]}
    call, key = describe_call(AddressKind.PRIVATE, PRIVATE, SUBNET)
    assert (call.action, key) == ("ec2:DescribeNetworkInterfaces", "NetworkInterfaces")
    filters = {f["Name"]: f["Values"] for f in call.arguments["Filters"]}
    assert filters == {
        "addresses.private-ip-address": [PRIVATE],
        "subnet-id": ["subnet-1"],
    }
    call, key = describe_call(AddressKind.ROUTE, OVERLAY, TABLES)
    assert (call.action, key) == ("ec2:DescribeRouteTables", "RouteTables")
    wanted = {"Name": "route-table-id", "Values": ["rtb-1", "rtb-2"]}
    assert call.arguments == {"Filters": [wanted]}, (
        "so that one that is gone is left out"
    )


@pytest.mark.parametrize("eni", ["eni-1", None])
def test_elastic_ip_leads_to_the_interface_it_is_associated_with(
    eni: str | None,
) -> None:
    found: dict[str, Any] = {"AllocationId": "eipalloc-1", "PublicIp": PUBLIC}
    if eni:
        found |= {"NetworkInterfaceId": eni, "InstanceId": "i-1"}
    seen = address_objects(AddressKind.ELASTIC_IP, PUBLIC, ALLOCATION, [found])
    assert seen == (AddressObject("eipalloc-1", eni),)


def test_elastic_ip_that_was_released_is_no_place() -> None:
    assert address_objects(AddressKind.ELASTIC_IP, PUBLIC, ALLOCATION, []) == ()


def test_private_address_leads_to_the_interface_that_has_it() -> None:
    found = [{"NetworkInterfaceId": "eni-1", "PrivateIpAddress": "10.60.0.4"}]
    assert address_objects(AddressKind.PRIVATE, PRIVATE, SUBNET, found) == (
        AddressObject("subnet-1", "eni-1"),
    )
    assert address_objects(AddressKind.PRIVATE, PRIVATE, SUBNET, []) == (
        AddressObject("subnet-1"),
    )


def test_route_leads_to_its_interface() -> None:
    seen = routes_to(
        table("rtb-2", NetworkInterfaceId="eni-2", State="active"),
        table("rtb-1", NetworkInterfaceId="eni-1", State="active"),
    )
    assert seen == (AddressObject("rtb-1", "eni-1"), AddressObject("rtb-2", "eni-2"))


def test_black_hole_leads_to_nobody_but_can_be_replaced() -> None:
    dead = table("rtb-1", NetworkInterfaceId="eni-1", State="blackhole")
    assert routes_to(dead)[0] == AddressObject("rtb-1", None, exists=True)


def test_only_the_exact_route_counts() -> None:
    assert routes_to(table("rtb-1"))[0] == AddressObject("rtb-1", exists=False)


def test_table_that_is_gone_is_no_place() -> None:
    seen = routes_to(table("rtb-2", NetworkInterfaceId="eni-1"))
    assert seen == (AddressObject("rtb-2", "eni-1"),)


def test_holder_claims_nothing() -> None:
    own = AddressObject("any", "eni-own")
    for kind in AddressKind:
        assert made(kind, OVERLAY, own, own) == []


def test_elastic_ip_is_taken_from_whoever_has_it() -> None:
    for holder in (None, "eni-other"):
        ((action, arguments),) = made(
            AddressKind.ELASTIC_IP, PUBLIC, AddressObject("eipalloc-1", holder)
        )
        assert action == "ec2:AssociateAddress"
        assert arguments == {
            "AllocationId": "eipalloc-1",
            "NetworkInterfaceId": "eni-own",
            "AllowReassociation": True,
        }


def test_private_address_is_taken_from_whoever_has_it() -> None:
    ((action, arguments),) = made(
        AddressKind.PRIVATE, PRIVATE, AddressObject("subnet-1", "eni-other")
    )
    assert action == "ec2:AssignPrivateIpAddresses"
    assert arguments == {
        "NetworkInterfaceId": "eni-own",
        "PrivateIpAddresses": [PRIVATE],
        "AllowReassignment": True,
    }


def test_only_routes_that_lead_elsewhere_are_changed() -> None:
    calls = made(
        AddressKind.ROUTE,
        OVERLAY,
        AddressObject("rtb-1", "eni-own"),
        AddressObject("rtb-2", "eni-other"),
        AddressObject("rtb-3"),
        AddressObject("rtb-4", exists=False),
    )
    assert [(action, args["RouteTableId"]) for action, args in calls] == [
        ("ec2:ReplaceRoute", "rtb-2"),
        ("ec2:ReplaceRoute", "rtb-3"),
        ("ec2:CreateRoute", "rtb-4"),
    ]
    for _, arguments in calls:
        assert arguments["DestinationCidrBlock"] == f"{OVERLAY}/32"
        assert arguments["NetworkInterfaceId"] == "eni-own"
