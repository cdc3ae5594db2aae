"""What discovery reads of each kind of address, and what of it is refused."""

from ipaddress import ip_address, ip_network

import pytest

from lab.aws import address as lab_address
from portway.aws.reading import address_reader
from portway.contract.address import AddressKind, AddressObject, move_calls
from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.stack import Stack
from tests.integration.conftest import OVERLAY, PRIVATE, Account, Discovery
from tests.unit import samples
from tests.unit.samples import saved_and_read

MOVING = (AddressKind.ELASTIC_IP, AddressKind.PRIVATE, AddressKind.ROUTE)


def claim(account: Account, found: Stack, name: str) -> None:
    """Make the address lead to a load balancer, as the load balancer would."""
    (node,) = (n for n in found.nodes if n.name == name)
    virtual = found.virtual_address
    seen = address_reader(found)()
    for call in move_calls(virtual.kind, virtual.address, seen, node.interface_id):
        getattr(account.client("ec2"), call.operation)(**call.arguments)


def refusal(discover: Discovery) -> str:
    with pytest.raises(PortwayError) as caught:
        discover()
    assert len(caught.value.message.splitlines()) <= 3  # what, why, what to do
    return caught.value.message


def cluster_refusal(found: Stack) -> str:
    with pytest.raises(PortwayError) as caught:
        build_cluster(found, samples.settings(), samples.clients())
    return caught.value.message


@pytest.mark.parametrize("kind", MOVING)
def test_the_holder_is_told_by_its_interface_wherever_the_address_moves(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    found = discover()
    assert found.virtual_address.kind is kind
    assert found.virtual_address.address == account.outputs()["VirtualAddress"]
    assert found.virtual_address.holder is None

    for name in ("lb-1", "lb-2"):
        claim(account, found, name)
        assert discover().virtual_address.holder == account.interface(name)

    assert saved_and_read(discover()) == discover()


@pytest.mark.parametrize("kind", MOVING)
def test_a_holder_claims_nothing_again(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    found = discover()
    claim(account, found, "lb-1")
    account.aws.forget()

    claim(account, found, "lb-1")

    assert len(account.aws.calls) == 1, "it looks, and calls nothing else"


@pytest.mark.parametrize("kind", MOVING)
def test_an_address_whose_holder_was_terminated_leads_to_nobody(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    found = discover()
    claim(account, found, "lb-1")
    lost = account.load_balancer("lb-1")
    account.client("ec2").terminate_instances(InstanceIds=[lost])

    assert {place.holder for place in address_reader(found)()} == {None}
    claim(account, found, "lb-2")
    assert {p.holder for p in address_reader(found)()} == {account.interface("lb-2")}


def test_routes_that_differ_have_no_holder(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE)
    first, second = account.address_objects()
    account.client("ec2").create_route(
        RouteTableId=second,
        DestinationCidrBlock=f"{OVERLAY}/32",
        NetworkInterfaceId=account.interface("lb-2"),
    )

    address = discover().virtual_address

    assert address.objects == (
        AddressObject(first, exists=False),
        AddressObject(second, account.interface("lb-2")),
    )
    assert address.holder is None


def test_a_primary_address_cannot_move(account: Account, discover: Discovery) -> None:
    account.create_with(AddressKind.PRIVATE)
    taken = account.instances("load-balancer")[0]
    account.update(
        AddressKind=AddressKind.PRIVATE,
        LoadBalancerSubnets="one",
        VirtualAddress=taken["PrivateIpAddress"],
    )

    message = refusal(discover)

    assert f"its address {taken['PrivateIpAddress']} is the primary address" in message
    assert account.interface("lb-1") in message
    assert "update the stack with a VirtualAddress" in message


def test_a_route_table_that_is_gone_is_refused(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE, RouteTableIds="rtb-0123,rtb-4567")

    message = refusal(discover)

    assert "its route tables rtb-0123 and rtb-4567 do not exist" in message
    assert "update the stack with RouteTableIds of tables that exist" in message


def test_one_route_table_of_several_that_is_gone_is_named_alone(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE)
    first, _ = account.address_objects()
    account.update(
        AddressKind=AddressKind.ROUTE,
        VirtualAddress=OVERLAY,
        RouteTableIds=f"{first},rtb-0123",
    )

    message = refusal(discover)

    assert "rtb-0123" in message
    assert first not in message


def test_a_route_to_an_address_of_the_vpc_is_refused(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.ROUTE, VirtualAddress=PRIVATE)

    message = refusal(discover)

    assert f"its address {PRIVATE} is inside the VPC's range 10.60.0.0/16" in message
    assert "such as 10.255.0.1" in message


@pytest.mark.parametrize("kind", MOVING)
def test_an_address_that_leads_to_a_stranger_is_refused(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    found = discover()
    claim(account, found, "lb-1")
    old = account.interface("lb-1")
    # Another takes its role; what it holds it keeps.
    account.launch(portway_stack="messages", portway_role="load-balancer", Name="lb-3")
    account.tag(account.load_balancer("lb-1"), portway_role="bastion")

    message = cluster_refusal(discover())

    assert f"address {found.virtual_address.address}: points to {old}" in message
    assert "move it away from there first" in message


def test_a_private_address_needs_both_load_balancers_in_its_subnet(
    account: Account, discover: Discovery
) -> None:
    account.create_with(AddressKind.PRIVATE, LoadBalancerSubnets="two")

    message = cluster_refusal(discover())

    assert "lb-2: is in subnet-" in message
    assert "LoadBalancerSubnets=one" in message


@pytest.mark.usefixtures("long_ago")
@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (AddressKind.PRIVATE, "ec2:DescribeNetworkInterfaces"),
        (AddressKind.ROUTE, "ec2:DescribeRouteTables"),
    ],
)
def test_access_denied_names_the_call_of_the_kind(
    account: Account, discover: Discovery, kind: AddressKind, action: str
) -> None:
    account.create_with(kind)
    account.aws.refuse(action, "UnauthorizedOperation", "you may not")

    assert f"these credentials may not call {action}" in refusal(discover)


@pytest.mark.parametrize("kind", AddressKind)
def test_the_lab_reads_the_address_as_portway_does(
    account: Account, discover: Discovery, kind: AddressKind
) -> None:
    account.create_with(kind)
    ec2, outputs = account.client("ec2"), account.outputs()
    found = discover()

    for name in ("", "lb-1", "lb-2"):
        if name:
            claim(account, found, name)
        virtual = discover().virtual_address
        assert lab_address.read(ec2, outputs) == lab_address.Address(
            kind=virtual.kind,
            address=virtual.address,
            objects=tuple(found.id for found in virtual.objects),
            holder=virtual.holder,
        )


def test_the_lab_chooses_the_highest_address_that_is_free(account: Account) -> None:
    account.create_with(AddressKind.PRIVATE)
    (subnet,) = account.address_objects()
    ec2 = account.client("ec2")
    (described,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    last = ip_network(described["CidrBlock"]).broadcast_address

    for number in (1, 2):
        chosen = lab_address.free(ec2, subnet)
        assert ip_address(chosen) == last - number
        ec2.assign_private_ip_addresses(
            NetworkInterfaceId=account.interface("lb-1"), PrivateIpAddresses=[chosen]
        )
