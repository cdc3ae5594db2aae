"""The places in AWS that make the address lead to a node, and how they are told.

Pure: which calls to make, and what their answers mean. Discovery uses it as well, so
that the operator's machine and the nodes cannot disagree about who holds the address.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Answer = Mapping[str, Any]
"""Something as boto3 returns it."""


class AddressKind(StrEnum):
    """What moves when the address moves; the template's parameter ``AddressKind``."""

    ELASTIC_IP = "elastic-ip"
    """The association of an Elastic IP."""
    PRIVATE = "private-address"
    """A secondary private address, within one subnet."""
    ROUTE = "route"
    """Routes to an address outside the VPC's range, in one or more route tables."""
    VRRP = "vrrp"
    """Nothing in AWS: the network takes gratuitous ARP's word."""


@dataclass(frozen=True, slots=True)
class Place:
    """One object in AWS that makes the address lead to a network interface."""

    id: str
    """Of the Elastic IP's allocation, the subnet or the route table."""
    holder: str | None = None
    """The network interface (eni-…) that it leads to; None if to no living one."""
    exists: bool = True
    """Whether there is something to move; a route table may lack the route."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of EC2: boto3's method and its arguments."""

    operation: str
    arguments: dict[str, Any]

    @property
    def action(self) -> str:
        """As IAM names it, such as ``ec2:AssociateAddress``."""
        words = self.operation.split("_")
        return "ec2:" + "".join(word.capitalize() for word in words)


def look(kind: AddressKind, address: str, objects: Sequence[str]) -> tuple[Call, str]:
    """The call that tells who holds the address, and the key of its answer.

    ``objects`` are the ids of the places. ValueError for plain VRRP, which has none.
    """
    if kind is AddressKind.ELASTIC_IP:
        arguments: dict[str, Any] = {"AllocationIds": list(objects)}
        return Call("describe_addresses", arguments), "Addresses"
    if kind is AddressKind.PRIVATE:
        wanted = {
            "addresses.private-ip-address": [address],
            "subnet-id": list(objects),
        }
        filters = [{"Name": key, "Values": values} for key, values in wanted.items()]
        call = Call("describe_network_interfaces", {"Filters": filters})
        return call, "NetworkInterfaces"
    if kind is AddressKind.ROUTE:
        # By a filter: one table that is gone must not hide the others.
        filters = [{"Name": "route-table-id", "Values": list(objects)}]
        return Call("describe_route_tables", {"Filters": filters}), "RouteTables"
    raise ValueError("plain VRRP has no place in AWS")


def places(
    kind: AddressKind, address: str, objects: Sequence[str], found: Sequence[Answer]
) -> tuple[Place, ...]:
    """The places that an answer tells of, in the order of ``objects``.

    ``found`` is what stands under the key of ``look``. An object that the answer does
    not tell of is no place: nobody's packets come through a route table that is gone.
    """
    if kind is AddressKind.PRIVATE:
        holders = [interface["NetworkInterfaceId"] for interface in found]
        return tuple(Place(id_, holders[0] if holders else None) for id_ in objects)
    if kind is AddressKind.ELASTIC_IP:
        by_id = {
            item["AllocationId"]: Place(
                item["AllocationId"], item.get("NetworkInterfaceId") or None
            )
            for item in found
        }
    else:
        by_id = {
            table["RouteTableId"]: _route_place(table, f"{address}/32")
            for table in found
        }
    return tuple(by_id[id_] for id_ in objects if id_ in by_id)


def claims(
    kind: AddressKind,
    address: str,
    seen: Sequence[Place],
    instance_id: str,
    interface_id: str,
) -> Iterator[Call]:
    """The calls that make every place lead to a node's primary interface.

    None for a place that does already: each remap of an Elastic IP may be charged.
    """
    for place in seen:
        if place.holder == interface_id:
            continue
        if kind is AddressKind.ELASTIC_IP:
            yield Call(
                "associate_address",
                {
                    "AllocationId": place.id,
                    "InstanceId": instance_id,
                    "AllowReassociation": True,
                },
            )
        elif kind is AddressKind.PRIVATE:
            yield Call(
                "assign_private_ip_addresses",
                {
                    "NetworkInterfaceId": interface_id,
                    "PrivateIpAddresses": [address],
                    "AllowReassignment": True,
                },
            )
        else:
            yield Call(
                "replace_route" if place.exists else "create_route",
                {
                    "RouteTableId": place.id,
                    "DestinationCidrBlock": f"{address}/32",
                    "NetworkInterfaceId": interface_id,
                },
            )


def _route_place(table: Answer, destination: str) -> Place:
    """Where a route table leads; the route of an ended instance is a black hole."""
    for route in table["Routes"]:
        if route.get("DestinationCidrBlock") == destination:
            dead = route.get("State") == "blackhole"
            holder = None if dead else route.get("NetworkInterfaceId")
            return Place(table["RouteTableId"], holder or None)
    return Place(table["RouteTableId"], exists=False)
