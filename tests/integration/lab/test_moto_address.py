"""Moto behaves as AWS where an address moves; what the lab's corrections promise."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from portway.contract.address import AddressKind
from tests.integration.conftest import FREE, OVERLAY, PRIVATE, Account


def refused(call: Any, **arguments: Any) -> tuple[str, int]:
    """The error code and the HTTP status of a call that AWS refuses."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def routes(account: Account, table: str) -> dict[str, Any]:
    """The routes of a table by destination."""
    tables = account.client("ec2").describe_route_tables(RouteTableIds=[table])
    found = tables["RouteTables"][0]["Routes"]
    return {route["DestinationCidrBlock"]: route for route in found}


@pytest.fixture
def routed(account: Account) -> Account:
    account.create_with(AddressKind.ROUTE)
    return account


@pytest.fixture
def to_overlay(routed: Account) -> dict[str, str]:
    """Arguments of a call that makes a route to lb-1."""
    return {
        "RouteTableId": routed.address_objects()[0],
        "DestinationCidrBlock": f"{OVERLAY}/32",
        "NetworkInterfaceId": routed.interface("lb-1"),
    }


@pytest.mark.parametrize("kind", AddressKind)
def test_source_check_of_instances_is_off_only_where_routes_lead(
    account: Account, kind: AddressKind
) -> None:
    account.create_with(kind, LoadBalancersAs="instances")
    interfaces = [account.interface(name) for name in ("lb-1", "lb-2")]
    found = account.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=interfaces
    )["NetworkInterfaces"]
    instances = account.instances("load-balancer")
    checks = {thing["SourceDestCheck"] for thing in (*found, *instances)}
    assert checks == {kind is not AddressKind.ROUTE}


def test_source_check_of_an_instance_is_that_of_its_interface(
    routed: Account,
) -> None:
    ec2 = routed.client("ec2")
    interface = routed.interface("lb-1")
    instance = routed.load_balancer("lb-1")

    def checks() -> list[bool]:
        found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])
        described = ec2.describe_instances(InstanceIds=[instance])
        return [
            found["NetworkInterfaces"][0]["SourceDestCheck"],
            described["Reservations"][0]["Instances"][0]["SourceDestCheck"],
        ]

    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface, SourceDestCheck={"Value": True}
    )
    assert checks() == [True, True]
    ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    assert checks() == [False, False]


def test_elastic_ip_needs_an_interface_where_an_instance_has_two(
    stack: Account,
) -> None:
    ec2 = stack.client("ec2")
    (allocation,) = stack.address_objects()
    instance = stack.load_balancer("lb-1")
    first = stack.interface("lb-1")
    (found,) = stack.instances("load-balancer")[:1]
    second = ec2.create_network_interface(
        SubnetId=found["SubnetId"], PrivateIpAddress=FREE
    )
    ec2.attach_network_interface(
        DeviceIndex=1,
        InstanceId=instance,
        NetworkInterfaceId=second["NetworkInterface"]["NetworkInterfaceId"],
    )
    given = {"AllocationId": allocation, "AllowReassociation": True}

    by_instance = refused(ec2.associate_address, InstanceId=instance, **given)
    ec2.associate_address(NetworkInterfaceId=first, **given)

    assert by_instance == ("InvalidInstanceID", 400)
    (address,) = ec2.describe_addresses()["Addresses"]
    assert address["NetworkInterfaceId"] == first
    assert address["InstanceId"] == instance


def test_route_is_replaced_only_where_one_exists(
    routed: Account, to_overlay: dict[str, str]
) -> None:
    ec2 = routed.client("ec2")
    assert refused(ec2.replace_route, **to_overlay) == ("InvalidParameterValue", 400)
    ec2.create_route(**to_overlay)
    assert refused(ec2.create_route, **to_overlay) == ("RouteAlreadyExists", 400)
    second = routed.interface("lb-2")
    ec2.replace_route(**to_overlay | {"NetworkInterfaceId": second})

    route = routes(routed, to_overlay["RouteTableId"])[f"{OVERLAY}/32"]
    assert route["NetworkInterfaceId"] == second
    assert route["InstanceId"] == routed.load_balancer("lb-2")
    assert route["State"] == "active"


def test_route_inside_the_vpc_is_refused(
    routed: Account, to_overlay: dict[str, str]
) -> None:
    inside = to_overlay | {"DestinationCidrBlock": f"{PRIVATE}/32"}
    create = routed.client("ec2").create_route
    assert refused(create, **inside) == ("InvalidParameterValue", 400)


def test_route_of_a_terminated_instance_is_a_black_hole(
    routed: Account, to_overlay: dict[str, str]
) -> None:
    ec2 = routed.client("ec2")
    ec2.create_route(**to_overlay)
    ec2.terminate_instances(InstanceIds=[routed.load_balancer("lb-1")])

    route = routes(routed, to_overlay["RouteTableId"])[f"{OVERLAY}/32"]
    assert route["State"] == "blackhole"
    assert "InstanceId" not in route


def test_secondary_address_is_found_and_dies_with_its_instance(
    account: Account,
) -> None:
    account.create_with(AddressKind.PRIVATE)
    ec2 = account.client("ec2")
    filters = [{"Name": "addresses.private-ip-address", "Values": [PRIVATE]}]

    def holders() -> list[str]:
        found = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return [interface["NetworkInterfaceId"] for interface in found]

    for name in ("lb-2", "lb-1", "lb-1"):
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=account.interface(name),
            PrivateIpAddresses=[PRIVATE],
            AllowReassignment=True,
        )
        assert holders() == [account.interface(name)]
    ec2.terminate_instances(InstanceIds=[account.load_balancer("lb-1")])
    assert holders() == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("describe_addresses", {}),
        ("describe_network_interfaces", {}),
        ("describe_route_tables", {}),
        ("associate_address", {"AllocationId": "", "InstanceId": ""}),
        ("create_route", {"DestinationCidrBlock": f"{OVERLAY}/32"}),
        ("replace_route", {"DestinationCidrBlock": f"{OVERLAY}/32"}),
    ],
)
def test_dry_run_that_is_permitted_says_so_and_does_nothing(
    account: Account, name: str, arguments: dict[str, Any]
) -> None:
    route = name.endswith("_route")
    account.create_with(AddressKind.ROUTE if route else AddressKind.ELASTIC_IP)
    (first, *_) = account.address_objects()
    interface = account.interface("lb-1")
    if route:
        arguments |= {"RouteTableId": first, "NetworkInterfaceId": interface}
    if "AllocationId" in arguments:
        instance = account.load_balancer("lb-1")
        arguments |= {"AllocationId": first, "InstanceId": instance}
    ec2 = account.client("ec2")

    def everything() -> list[Any]:
        return [
            ec2.describe_addresses()["Addresses"],
            ec2.describe_network_interfaces()["NetworkInterfaces"],
            ec2.describe_route_tables()["RouteTables"],
        ]

    before = everything()
    answer = refused(getattr(ec2, name), DryRun=True, **arguments)

    assert answer == ("DryRunOperation", 412)
    assert everything() == before
