"""What moves an address: Elastic IPs, secondary addresses, routes to an interface.

Also what becomes of them when their instance is terminated.
"""

import ipaddress
from typing import Any

from moto.ec2.exceptions import (
    DryRunClientError,
    EC2ClientError,
    InvalidParameterValueError,
    RouteAlreadyExistsError,
)
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.route_tables import Route
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.responses.route_tables import RouteTables

_backend: Any = EC2Backend
_instance: Any = Instance
_interface: Any = NetworkInterface
_route: Any = Route
_response: Any = EC2BaseResponse
_interface_responses: Any = ElasticNetworkInterfaces
_route_responses: Any = RouteTables


def elastic_ip_leaves_its_old_interface() -> None:
    """Moto lets a moved Elastic IP stay the public address of the old holder too.

    On AWS the old holder gets back an address of the subnet's if it had one, and
    the address names its instance however it was associated.
    """
    original = _backend.associate_address

    def associate_address(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = {eip.allocation_id: eip.eni for eip in self.addresses}
        eip = original(self, *args, **kwargs)
        old = before.get(eip.allocation_id)
        if old is not None and old is not eip.eni:
            old.public_ip = None
            old.check_auto_public_ip()
        eip.instance = eip.eni.instance
        return eip

    _backend.associate_address = associate_address


def elastic_ip_goes_to_the_only_interface() -> None:
    """Moto takes the first interface of an instance that has several; AWS refuses."""
    original = _backend.associate_address

    def associate_address(self: Any, instance: Any = None, **kwargs: Any) -> Any:
        if instance is not None and len(instance.nics) > 1:
            raise EC2ClientError(
                "InvalidInstanceID",
                f"There are multiple interfaces attached to instance '{instance.id}'. "
                "Please specify an interface ID for the operation instead.",
            )
        return original(self, instance=instance, **kwargs)

    _backend.associate_address = associate_address


def private_address_has_one_interface() -> None:
    """Moto leaves a reassigned private address on the old interface as well.

    It also takes addresses outside the subnet and without AllowReassignment.
    """
    original = _backend.assign_private_ip_addresses
    original_response = _interface_responses.assign_private_ip_addresses

    def respond(self: Any) -> Any:
        wanted = self._get_param("PrivateIpAddresses", [])
        allowed = str(self._get_param("AllowReassignment", "false")).lower() == "true"
        _refuse_wrong_addresses(
            self.ec2_backend, self._get_param("NetworkInterfaceId"), wanted, allowed
        )
        return original_response(self)

    def assign(self: Any, eni_id: str, addresses: Any = None, count: Any = None) -> Any:
        for eni in self.enis.values():
            if eni.id != eni_id and addresses:
                eni.private_ip_addresses = [
                    item
                    for item in eni.private_ip_addresses
                    if item["PrivateIpAddress"] not in addresses
                ]
        return original(self, eni_id, addresses, count)

    _interface_responses.assign_private_ip_addresses = respond
    _backend.assign_private_ip_addresses = assign


def _refuse_wrong_addresses(
    backend: Any, eni_id: str, wanted: list[str], reassignment: bool
) -> None:
    subnet = backend.get_network_interface(eni_id).subnet
    for address in wanted:
        if ipaddress.ip_address(address) not in ipaddress.ip_network(subnet.cidr_block):
            raise InvalidParameterValueError(
                f"Address {address} does not fall within the subnet's address range"
            )
        for eni in backend.enis.values():
            held = {item["PrivateIpAddress"] for item in eni.private_ip_addresses}
            if address in held and eni.id != eni_id:
                if not reassignment:
                    raise InvalidParameterValueError(
                        f"Address {address} is already assigned; "
                        "allow reassignment to move it"
                    )
                if address == eni.private_ip_address:
                    raise InvalidParameterValueError(
                        f"Address {address} is a primary address of {eni.id}"
                    )


def terminated_instances_let_go() -> None:
    """Moto leaves a terminated instance its interface, address and Elastic IP."""
    original = _instance.terminate

    def terminate(self: Any) -> Any:
        previous = original(self)
        backend = self.ec2_backend
        for nic in self.nics.values():
            for eip in backend.addresses:
                if eip.eni is nic:
                    backend.disassociate_address(address=eip.public_ip)
            nic.public_ip = None
            backend.enis.pop(nic.id, None)
            for item in nic.private_ip_addresses:
                nic.subnet.del_subnet_ip(item["PrivateIpAddress"])
        return previous

    _instance.terminate = terminate


def secondary_addresses_are_found() -> None:
    """Moto looks for a private address among the primary ones only."""
    original = _interface.get_filter_value

    def get_filter_value(self: Any, name: str, method: str | None = None) -> Any:
        if name == "addresses.private-ip-address":
            return [item["PrivateIpAddress"] for item in self.private_ip_addresses]
        return original(self, name, method)

    _interface.get_filter_value = get_filter_value


def source_check_is_the_interfaces() -> None:
    """Moto keeps the attribute of an instance and that of its interface apart."""
    of_interface = _backend.modify_network_interface_attribute
    of_instance = _backend.modify_instance_attribute

    def modify_interface(self: Any, eni_id: str, *args: Any, **kwargs: Any) -> None:
        of_interface(self, eni_id, *args, **kwargs)
        eni = self.get_network_interface(eni_id)
        if eni.instance is not None:
            eni.instance.source_dest_check = eni.source_dest_check

    def modify_instance(self: Any, instance_id: str, key: str, value: Any) -> Any:
        if key == "source_dest_check":
            value = str(value).lower() == "true"
            for eni in self.get_instance(instance_id).nics.values():
                eni.source_dest_check = value
        return of_instance(self, instance_id, key, value)

    _backend.modify_network_interface_attribute = modify_interface
    _backend.modify_instance_attribute = modify_instance


def routes_to_interfaces_are_checked() -> None:
    """Moto makes a route to an interface over an existing one and inside the VPC.

    AWS takes a destination inside the VPC's range only if it is a whole subnet.
    """
    original = _backend.create_route

    def create_route(
        self: Any,
        route_table_id: str,
        destination_cidr_block: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if kwargs.get("interface_id") and destination_cidr_block:
            table = self.get_route_table(route_table_id)
            _refuse_wrong_route(self, table, destination_cidr_block)
        return original(self, route_table_id, destination_cidr_block, *args, **kwargs)

    _backend.create_route = create_route


def _refuse_wrong_route(backend: Any, table: Any, destination: str) -> None:
    wanted = ipaddress.IPv4Network(destination, strict=False)
    subnets = {
        subnet.cidr_block
        for subnet in backend.describe_subnets()
        if subnet.vpc_id == table.vpc_id
    }
    for route in table.routes:
        if not route.destination_cidr_block:
            continue
        existing = ipaddress.IPv4Network(route.destination_cidr_block)
        if route.local and wanted.subnet_of(existing) and str(wanted) not in subnets:
            raise InvalidParameterValueError(
                "Route destination doesn't match any subnet CIDR blocks."
            )
        if not route.local and wanted == existing:
            raise RouteAlreadyExistsError(destination)


def routes_follow_their_interface() -> None:
    """Moto calls every route active and does not name the instance of an interface."""

    def state(self: Any) -> str:
        eni = self.interface
        return "blackhole" if eni and eni.id not in eni.ec2_backend.enis else "active"

    def instance_id(self: Any) -> str | None:
        if self.interface and self.state == "active":
            instance = self.interface.instance
        else:
            instance = self.instance
        return instance.id if instance else None

    _route.state = property(state)
    _route.instance_id = property(instance_id)


def dry_runs_do_nothing() -> None:
    """Moto carries out dry runs of the calls about routes.

    AWS answers a dry run that is permitted with HTTP status 412.
    AssignPrivateIpAddresses has none.
    """
    serialize = _response.serialized

    def serialized(self: Any, result: Any) -> Any:
        status, headers, body = serialize(self, result)
        if isinstance(result.result, DryRunClientError):
            status = 412
        return status, headers, body

    def checked(original: Any) -> Any:
        def respond(self: Any) -> Any:
            self.error_on_dryrun()
            return original(self)

        return respond

    _response.serialized = serialized
    for name in ("create_route", "describe_route_tables", "replace_route"):
        setattr(_route_responses, name, checked(getattr(_route_responses, name)))
