"""Who holds the address, told from what AWS answers."""

from typing import Any

import pytest

from lab import pair
from lab.errors import LabError


class Answers:
    """EC2 that answers as it is told, and keeps what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: dict[str, Any] = {}

    def __getattr__(self, call: str) -> Any:
        def answer(**arguments: Any) -> Any:
            self.asked = arguments
            return self.answers[call]

        return answer


def holders(address: pair.Address, **answers: Any) -> list[str | None]:
    return list(pair._holders(Answers(**answers), address))


def test_elastic_ip_is_held_by_the_interface_it_is_associated_with() -> None:
    address = pair.Address(pair.ELASTIC_IP, "203.0.113.1", ("eipalloc-1",))
    held = {"Addresses": [{"NetworkInterfaceId": "eni-1"}]}
    assert holders(address, describe_addresses=held) == ["eni-1"]
    assert holders(address, describe_addresses={"Addresses": [{}]}) == [None]


def test_private_address_is_held_by_the_interface_that_has_it() -> None:
    address = pair.Address(pair.PRIVATE_ADDRESS, "10.0.0.9", ("subnet-1",))
    found = {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-2"}]}
    assert holders(address, describe_network_interfaces=found) == ["eni-2"]


def test_route_is_held_by_its_target_in_every_table() -> None:
    address = pair.Address(pair.ROUTE, "10.255.0.1", ("rtb-1", "rtb-2"))
    own = {"DestinationCidrBlock": "10.255.0.1/32", "NetworkInterfaceId": "eni-1"}
    other = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
    tables = {"RouteTables": [{"Routes": [other, own]}, {"Routes": [other]}]}
    assert holders(address, describe_route_tables=tables) == ["eni-1", None]


def test_address_is_read_from_the_outputs_of_the_stack() -> None:
    outputs = {
        "AddressKind": "route",
        "VirtualAddress": "10.255.0.1",
        "AddressObjects": "rtb-1,rtb-2",
    }
    found = pair._address(outputs)
    assert found == pair.Address("route", "10.255.0.1", ("rtb-1", "rtb-2"))


@pytest.mark.parametrize(
    "outputs",
    [{}, {"AddressKind": "vrrp", "VirtualAddress": "10.0.0.9", "AddressObjects": ","}],
)
def test_stack_without_an_address_that_moves_is_refused(
    outputs: dict[str, str],
) -> None:
    with pytest.raises(LabError):
        pair._address(outputs)


@pytest.mark.parametrize(
    ("status", "up"),
    [("UP", True), ("UP 1/3", True), ("no check", True), ("DOWN", False), ("", False)],
)
def test_server_is_up_as_haproxy_says(status: str, up: bool) -> None:
    assert pair._is_up(status) is up
