"""The stack's address in the lab: which one to ask for, and where AWS points it.

Reads AWS for itself and not with Portway's code, so that the lab can judge Portway.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.plan import facts

ELASTIC_IP, PRIVATE, ROUTE = "elastic-ip", "private-address", "route"

KINDS = (ELASTIC_IP, PRIVATE, ROUTE)
"""What moves on fail-over; the first is the template's default."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address that clients connect to, as AWS has it at this moment."""

    kind: str
    address: str
    objects: tuple[str, ...]
    """Of the Elastic IP's allocation, the subnet or the route tables; their ids."""
    holder: str | None
    """The network interface that all of it points to; None if there is no such one."""


def parameters(kind: str) -> dict[str, str]:
    """What to create a stack with so that its address is of this kind."""
    if kind == ELASTIC_IP:
        return {}
    if kind == ROUTE:
        return {"AddressKind": kind, "VirtualAddress": facts.OVERLAY_ADDRESS}
    return {
        "AddressKind": kind,
        "LoadBalancerSubnets": "one",
        # Its subnet does not exist yet.
        "VirtualAddress": facts.ADDRESS_TO_CHOOSE,
    }


def free(ec2: Any, subnet_id: str) -> str:
    """The highest address of a subnet that no interface has."""
    (subnet,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    taken = {
        item["PrivateIpAddress"]
        for interface in _interfaces(ec2, subnet_id)
        for item in interface["PrivateIpAddresses"]
    }
    # AWS keeps the first four addresses and the last for itself.
    usable = list(ipaddress.ip_network(subnet["CidrBlock"]).hosts())[3:]
    return next(str(a) for a in reversed(usable) if str(a) not in taken)


def read(ec2: Any, outputs: Mapping[str, str]) -> Address | None:
    """The address of a stack with these outputs; None if there is no stack."""
    if "AddressKind" not in outputs:
        return None
    kind, address = outputs["AddressKind"], outputs["VirtualAddress"]
    objects = tuple(outputs["AddressObjects"].split(","))
    found = {
        ELASTIC_IP: _elastic_ip_holders,
        PRIVATE: _private_holders,
        ROUTE: _route_holders,
    }
    holders = found[kind](ec2, address, objects)
    only = holders[0] if len(set(holders)) == 1 else None
    return Address(kind, address, objects, only)


def _elastic_ip_holders(ec2: Any, _: str, objects: tuple[str, ...]) -> list[str | None]:
    filters = [{"Name": "allocation-id", "Values": list(objects)}]
    found = ec2.describe_addresses(Filters=filters)["Addresses"]
    return [address.get("NetworkInterfaceId") or None for address in found]


def _private_holders(
    ec2: Any, address: str, objects: tuple[str, ...]
) -> list[str | None]:
    return [
        interface["NetworkInterfaceId"]
        for interface in _interfaces(ec2, *objects)
        for item in interface["PrivateIpAddresses"]
        if item["PrivateIpAddress"] == address
    ]


def _route_holders(
    ec2: Any, address: str, objects: tuple[str, ...]
) -> list[str | None]:
    """One for each table; None where its route has no working interface."""
    filters = [{"Name": "route-table-id", "Values": list(objects)}]
    holders = []
    for table in ec2.describe_route_tables(Filters=filters)["RouteTables"]:
        routes = {r.get("DestinationCidrBlock"): r for r in table["Routes"]}
        route = routes.get(f"{address}/32", {})
        active = route.get("State") == "active"
        holders.append(route.get("NetworkInterfaceId") if active else None)
    return holders


def _interfaces(ec2: Any, *subnet_ids: str) -> list[dict[str, Any]]:
    pages = ec2.get_paginator("describe_network_interfaces").paginate(
        Filters=[{"Name": "subnet-id", "Values": list(subnet_ids)}]
    )
    return [interface for page in pages for interface in page["NetworkInterfaces"]]
