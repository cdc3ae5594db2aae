"""What makes the address point to a node in AWS: how to ask for it and how to move it.

Pure: which EC2 calls to make, and what their answers mean. Discovery and the address
mover both use it, so they cannot disagree about who holds the address.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Answer = Mapping[str, Any]
"""Something as boto3 returns it."""
THROTTLED = (
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "503",
)
"""What AWS's services call it, and botocore's word for a 503 with a page of HTML."""


class AddressKind(StrEnum):
    """What moves when the address moves; the template's parameter ``AddressKind``."""

    ELASTIC_IP = "elastic-ip"
    """The association of an Elastic IP."""
    PRIVATE = "private-address"
    """A secondary private address, within one subnet."""
    ROUTE = "route"
    """Routes to an address outside the VPC's range, in one or more route tables."""


@dataclass(frozen=True, slots=True)
class AddressObject:
    """An object in AWS that makes the address point to a network interface."""

    id: str
    """Of the Elastic IP's allocation, the subnet or the route table."""
    holder: str | None = None
    """The network interface (eni-…) it points to; None if it points to no live one."""
    exists: bool = True
    """Whether there is something to move; a route table may lack the route."""


@dataclass(frozen=True, slots=True)
class Call:
    """One EC2 call: boto3's method and its arguments."""

    operation: str
    arguments: dict[str, Any]

    @property
    def action(self) -> str:
        """As IAM names it, such as ``ec2:AssociateAddress``."""
        words = self.operation.split("_")
        return "ec2:" + "".join(word.capitalize() for word in words)


def describe_call(
    kind: AddressKind, address: str, objects: Sequence[str]
) -> tuple[Call, str]:
    """The call that says who holds the address, and the key of its answer.

    ``objects`` are the ids of the address objects.
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
    # By a filter: one route table that is gone must not hide the others.
    filters = [{"Name": "route-table-id", "Values": list(objects)}]
    return Call("describe_route_tables", {"Filters": filters}), "RouteTables"


def address_objects(
    kind: AddressKind, address: str, objects: Sequence[str], found: Sequence[Answer]
) -> tuple[AddressObject, ...]:
    """The address objects that an answer describes, in the order of ``objects``.

    ``found`` is what the answer has under the key from ``describe_call``. An object
    missing from the answer is left out: no packet comes through a deleted route table.
    """
    if kind is AddressKind.PRIVATE:
        holders = [interface["NetworkInterfaceId"] for interface in found]
        holder = holders[0] if holders else None
        return tuple(AddressObject(id_, holder) for id_ in objects)
    if kind is AddressKind.ELASTIC_IP:
        by_id = {
            item["AllocationId"]: AddressObject(
                item["AllocationId"], item.get("NetworkInterfaceId") or None
            )
            for item in found
        }
    else:
        by_id = {
            table["RouteTableId"]: _route(table, f"{address}/32") for table in found
        }
    return tuple(by_id[id_] for id_ in objects if id_ in by_id)


def move_calls(
    kind: AddressKind,
    address: str,
    seen: Sequence[AddressObject],
    interface_id: str,
) -> Iterator[Call]:
    """The calls that make every address object point to a node's primary interface.

    None for an object that does already: each remap of an Elastic IP may be charged.
    All name the interface: EC2 refuses to associate an Elastic IP with an instance that
    has two of them, and a policy can only tell apart what a call names.
    """
    for found in seen:
        if found.holder == interface_id:
            continue
        if kind is AddressKind.ELASTIC_IP:
            yield Call(
                "associate_address",
                {
                    "AllocationId": found.id,
                    "NetworkInterfaceId": interface_id,
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
                "replace_route" if found.exists else "create_route",
                {
                    "RouteTableId": found.id,
                    "DestinationCidrBlock": f"{address}/32",
                    "NetworkInterfaceId": interface_id,
                },
            )


def _route(table: Answer, destination: str) -> AddressObject:
    """Where a route table points; the route of a terminated instance is a blackhole."""
    for route in table["Routes"]:
        if route.get("DestinationCidrBlock") == destination:
            dead = route.get("State") == "blackhole"
            holder = None if dead else route.get("NetworkInterfaceId")
            return AddressObject(table["RouteTableId"], holder or None)
    return AddressObject(table["RouteTableId"], exists=False)
