"""The lab's private and overlay addresses lead where AWS says, for whoever asks."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

import pytest

from tests.lab.system import PROJECT, System
from tests.lab.web_servers import fetch, served

ASSIGN = """
import boto3, sys
boto3.client("ec2").assign_private_ip_addresses(
    NetworkInterfaceId=sys.argv[1], PrivateIpAddresses=[sys.argv[2]],
    AllowReassignment=True)
"""

UNASSIGN = """
import boto3, sys
boto3.client("ec2").unassign_private_ip_addresses(
    NetworkInterfaceId=sys.argv[1], PrivateIpAddresses=[sys.argv[2]])
"""

ROUTE = """
import boto3, sys
ec2 = boto3.client("ec2")
interface, address, *tables = sys.argv[1:]
for id_ in tables:
    table = ec2.describe_route_tables(RouteTableIds=[id_])["RouteTables"][0]
    to = address + "/32"
    there = any(r.get("DestinationCidrBlock") == to for r in table["Routes"])
    change = ec2.replace_route if there else ec2.create_route
    change(RouteTableId=id_, DestinationCidrBlock=to, NetworkInterfaceId=interface)
"""

SUBNET = """
import boto3, sys
subnets = boto3.client("ec2").describe_subnets(SubnetIds=[sys.argv[1]])["Subnets"]
print(subnets[0]["CidrBlock"])
"""

SOURCE_CHECK = """
import boto3, sys
boto3.client("ec2").modify_network_interface_attribute(
    NetworkInterfaceId=sys.argv[1], SourceDestCheck={"Value": sys.argv[2] == "on"})
"""

HELD = """
curl() { command curl -s -m 2 "$@"; }
url=http://169.254.169.254/latest
token=$(curl -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $url/api/token)
get() { curl -H "X-aws-ec2-metadata-token: $token" $url/meta-data/$1; }
get network/interfaces/macs/$(get mac)/local-ipv4s
"""

HEAR = """
import socket, sys
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("", 9999))
print("ready", flush=True)
heard.settimeout(30)
print(heard.recvfrom(100)[1][0])
"""

SAY = """
import socket, sys
for source in (sys.argv[1], ""):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as said:
        said.bind((source, 0))
        said.sendto(b"hear me", (sys.argv[2], 9999))
"""


@contextmanager
def configured(lab: System) -> Iterator[System]:
    """Both load balancers serve and have the address, whoever AWS says holds it."""
    address = f"{lab.address}/32"
    for node in ("lb-1", "lb-2"):
        lab.execute(node, "ip", "address", "add", address, "dev", "lo")
    with served(lab, "9001"):
        yield lab


@pytest.fixture(scope="module")
def private(private_address: System) -> Iterator[System]:
    with configured(private_address) as lab:
        yield lab


@pytest.fixture(scope="module")
def overlay(route: System) -> Iterator[System]:
    with configured(route) as lab:
        yield lab


def interface(lab: System, node: str) -> str:
    return str(lab.nodes()[node]["interface_id"])


def answered(lab: System) -> str:
    """Who answers a customer who connects to the address."""
    return fetch(lab, f"http://{lab.address}:9001")


def heard_from(lab: System, node: str) -> str:
    """Whom the operator hears when a node speaks from the address, then from its own.

    Its own address, if what it said from the other one was dropped.
    """
    operator = str(lab.status()["operator"])
    listener = subprocess.Popen(
        lab.command("run", "--", "python", "-c", HEAR),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert listener.stdout
    assert listener.stdout.readline() == "ready\n"
    lab.execute(node, "python3", "-c", SAY, lab.address, operator)
    return listener.communicate(timeout=40)[0].strip()


def own(lab: System, node: str) -> str:
    return str(lab.nodes()[node]["address"])


# --- A private address ---------------------------------------------------------------


def test_private_address_is_free_and_of_the_load_balancers_subnet(
    private: System,
) -> None:
    address = private.status()["address"]
    (subnet,) = address["objects"]
    network = ip_network(private.python(SUBNET, subnet).strip())
    addresses = {ip_address(n["address"]) for n in private.nodes().values()}

    assert address["kind"] == "private-address"
    assert address["holder"] is None
    assert ip_address(address["address"]) in network
    assert ip_address(address["address"]) not in addresses
    for node in private.addresses("load-balancer").values():
        assert ip_address(node) in network


def test_private_address_of_nobody_leads_nowhere(private: System) -> None:
    assert answered(private) == ""


def test_private_address_follows_its_assignment(private: System) -> None:
    customer = private.status()["customers"][0]
    for node, other in (("lb-1", "lb-2"), ("lb-2", "lb-1")):
        private.python(ASSIGN, interface(private, node), private.address)

        assert answered(private) == f"{node} sees {customer}"
        assert private.holder == node
        assert private.address in private.execute(node, "bash", "-c", HELD).split()
        assert private.address not in private.execute(other, "bash", "-c", HELD)
        assert heard_from(private, node) == private.address
        assert heard_from(private, other) == own(private, other)
    private.python(UNASSIGN, interface(private, "lb-2"), private.address)
    assert answered(private) == ""


def test_stack_keeps_its_kind_of_address(private: System) -> None:
    private.up("--address-kind", "private-address")

    refused = private.call("up", "--address-kind", "route", check=False)

    assert refused.returncode == 1
    assert "AddressKind=private-address and keeps it" in refused.stderr
    assert "take the lab down first" in refused.stderr


# --- A route -------------------------------------------------------------------------


def test_overlay_address_of_nobody_leads_nowhere(overlay: System) -> None:
    address = overlay.status()["address"]

    assert (address["kind"], address["holder"]) == ("route", None)
    assert len(address["objects"]) == 2
    assert answered(overlay) == ""


def test_overlay_address_follows_its_routes(overlay: System) -> None:
    customer = overlay.status()["customers"][0]
    tables = overlay.status()["address"]["objects"]
    for node in ("lb-1", "lb-2"):
        overlay.python(ROUTE, interface(overlay, node), overlay.address, *tables)

        assert answered(overlay) == f"{node} sees {customer}"
        assert overlay.holder == node
        assert heard_from(overlay, node) == overlay.address


def test_overlay_address_has_no_holder_while_its_routes_differ(
    overlay: System,
) -> None:
    first, second = overlay.status()["address"]["objects"]
    overlay.python(ROUTE, interface(overlay, "lb-1"), overlay.address, first)
    overlay.python(ROUTE, interface(overlay, "lb-2"), overlay.address, second)

    assert overlay.holder == ""
    assert not any(node["holds_address"] for node in overlay.nodes().values())


def test_source_check_drops_what_is_of_the_overlay_address(overlay: System) -> None:
    tables = overlay.status()["address"]["objects"]
    overlay.python(ROUTE, interface(overlay, "lb-1"), overlay.address, *tables)
    overlay.python(SOURCE_CHECK, interface(overlay, "lb-1"), "on")
    try:
        assert answered(overlay) == ""
        assert heard_from(overlay, "lb-1") == own(overlay, "lb-1")
    finally:
        overlay.python(SOURCE_CHECK, interface(overlay, "lb-1"), "off")
    assert answered(overlay).startswith("lb-1")
    assert heard_from(overlay, "lb-1") == overlay.address
