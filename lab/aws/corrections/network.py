"""What a network with real hosts in it needs: addresses, subnets, places in the VPC."""

import ipaddress
from typing import Any

from moto.ec2.models import (
    EC2Backend,
    ec2_backends,
    elastic_ip_addresses,
    elastic_network_interfaces,
)
from moto.ec2.models.subnets import Subnet
from moto.rds.models import DBInstance

from lab.plan.facts import DATABASE_TAG

PUBLIC_NETWORK = ipaddress.ip_network("203.0.113.0/24")
"""Addresses for documentation, so that none of the lab's is anyone's."""

DATABASE_INTERFACE = "RDSNetworkInterface"
"""The description RDS gives the interface that it makes for a database."""


_backend: Any = EC2Backend
_subnet: Any = Subnet
_database: Any = DBInstance


def public_addresses_can_be_routed() -> None:
    """Moto invents 127.x.x.x for Elastic IPs and 54.214.x.x for public addresses."""
    unused = PUBLIC_NETWORK.hosts()

    def next_address() -> str:
        return str(next(unused))

    for module, name in (
        (elastic_ip_addresses, "random_ip"),
        (elastic_network_interfaces, "random_public_ip"),
    ):
        setattr(module, name, next_address)


def subnets_keep_their_setting() -> None:
    """Moto's CloudFormation ignores a subnet's MapPublicIpOnLaunch."""
    original = _subnet.create_from_cloudformation_json.__func__

    def create(cls: Any, /, name: str, resource: Any, *args: Any, **kwargs: Any) -> Any:
        subnet = original(cls, name, resource, *args, **kwargs)
        wanted = resource["Properties"].get("MapPublicIpOnLaunch", False)
        subnet.map_public_ip_on_launch = str(wanted).lower() == "true"
        subnet.default_for_az = False
        return subnet

    _subnet.create_from_cloudformation_json = classmethod(create)


def instances_follow_their_subnet() -> None:
    """Moto honours MapPublicIpOnLaunch only for instances of a scaling group."""
    original = _backend.run_instances

    def run_instances(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not kwargs.get("associate_public_ip"):
            kwargs["associate_public_ip"] = None
        return original(self, *args, **kwargs)

    _backend.run_instances = run_instances


def subnets_get_their_route_table() -> None:
    """Moto's CloudFormation notes an association but never makes it."""
    original = _backend.create_subnet_association

    def associate(self: Any, route_table_id: str, subnet_id: str) -> Any:
        self.associate_route_table(route_table_id, subnet_id=subnet_id)
        return original(self, route_table_id, subnet_id)

    _backend.create_subnet_association = associate


def databases_have_an_interface() -> None:
    """Moto gives a database a name but no place in the VPC.

    Its CloudFormation also ignores VPCSecurityGroups.
    """
    original = _database.create_from_cloudformation_json.__func__

    def create(
        cls: Any, /, name: str, resource: Any, account: str, region: str, **kwargs: Any
    ) -> Any:
        database = original(cls, name, resource, account, region, **kwargs)
        groups = resource["Properties"].get("VPCSecurityGroups")
        if groups:
            database.vpc_security_group_ids = groups
        _place_database(ec2_backends[account][region], database)
        return database

    _database.create_from_cloudformation_json = classmethod(create)


def _place_database(backend: Any, database: Any) -> None:
    if not database.db_subnet_group:
        return
    subnet = backend.get_subnet(database.db_subnet_group.subnets[0]["SubnetIdentifier"])
    eni = backend.create_network_interface(
        subnet,
        subnet.get_available_subnet_ip(database),
        group_ids=database.vpc_security_group_ids,
        description=DATABASE_INTERFACE,
        tags={DATABASE_TAG: database.db_instance_identifier},
    )
    eni.requester_managed = True
    eni.status = "in-use"


def remove_database(backend: Any, identifier: str) -> None:
    """Take a database's interface out of the VPC."""
    for eni in list(backend.enis.values()):
        tags = {tag["key"]: tag["value"] for tag in eni.get_tags()}
        if tags.get(DATABASE_TAG) == identifier:
            backend.enis.pop(eni.id)
            for item in eni.private_ip_addresses:
                eni.subnet.del_subnet_ip(item["PrivateIpAddress"])
