"""The lab's private and overlay addresses lead where AWS says, for whoever asks."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.lab.deploys.web_servers import fetch, served
from tests.lab.system import PROJECT, System

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


@dataclass(frozen=True)
class Ground:
    """A lab in which both load balancers serve and have the address.

    What does not change is asked once: every command of the lab takes its time.
    """

    lab: System
    address: str
    objects: list[str]
    nodes: dict[str, dict[str, Any]]
    customer: str
    operator: str

    def answered(self) -> str:
        """Who answers a customer who connects to the address."""
        return fetch(self.lab, f"http://{self.address}:9001")

    def heard_from(self, node: str) -> str:
        """Whom the operator hears when a node speaks from the address.

        It then speaks from its own, which is heard if what came first was dropped.
        """
        listener = subprocess.Popen(
            self.lab.command("run", "--", "python", "-c", HEAR),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert listener.stdout
        assert listener.stdout.readline() == "ready\n"
        self.lab.execute(node, "python3", "-c", SAY, self.address, self.operator)
        return listener.communicate(timeout=40)[0].strip()

    def change(self, program: str, node: str, *arguments: str) -> None:
        """Have the operator change something of a node's interface."""
        self.lab.python(program, self.nodes[node]["interface_id"], *arguments)

    def lead_to(self, node: str) -> None:
        """Make every route to the address lead to a node."""
        self.change(ROUTE, node, self.address, *self.objects)


@contextmanager
def prepared(lab: System) -> Iterator[Ground]:
    status = lab.status()
    address = status["address"]["address"]
    for node in ("lb-1", "lb-2"):
        lab.execute(node, "ip", "address", "add", f"{address}/32", "dev", "lo")
    with served(lab, "9001"):
        yield Ground(
            lab,
            address,
            status["address"]["objects"],
            {node["node"]: node for node in status["nodes"]},
            status["customers"][0],
            status["operator"],
        )


@pytest.fixture(scope="module")
def private(private_address: System) -> Iterator[Ground]:
    with prepared(private_address) as ground:
        yield ground


@pytest.fixture(scope="module")
def overlay(route: System) -> Iterator[Ground]:
    with prepared(route) as ground:
        for node in ("lb-1", "lb-2"):  # as a run would: a group launches them with it
            ground.change(SOURCE_CHECK, node, "off")
        yield ground


# --- A private address ---------------------------------------------------------------


def test_private_address_is_free_and_of_the_load_balancers_subnet(
    private: Ground,
) -> None:
    (subnet,) = private.objects
    network = ip_network(private.lab.python(SUBNET, subnet).strip())
    own = {name: ip_address(n["address"]) for name, n in private.nodes.items()}

    assert ip_address(private.address) in network
    assert ip_address(private.address) not in own.values()
    assert {own["lb-1"] in network, own["lb-2"] in network} == {True}


def test_private_address_of_nobody_leads_nowhere(private: Ground) -> None:
    address = private.lab.status()["address"]
    assert (address["kind"], address["holder"]) == ("private-address", None)
    assert private.answered() == ""


def test_private_address_follows_its_assignment(private: Ground) -> None:
    for node, other in (("lb-1", "lb-2"), ("lb-2", "lb-1")):
        private.change(ASSIGN, node, private.address)

        assert private.answered() == f"{node} sees {private.customer}"
        assert private.lab.holder == node
        for name, held in ((node, True), (other, False)):
            said = private.lab.execute(name, "bash", "-c", HELD).split()
            assert (private.address in said) is held
    private.change(UNASSIGN, "lb-2", private.address)
    assert private.answered() == ""


def test_private_address_is_spoken_from_by_its_holder_only(private: Ground) -> None:
    private.change(ASSIGN, "lb-1", private.address)
    try:
        assert private.heard_from("lb-1") == private.address
        assert private.heard_from("lb-2") == private.nodes["lb-2"]["address"]
    finally:
        private.change(UNASSIGN, "lb-1", private.address)


def test_stack_keeps_its_kind_of_address(private: Ground) -> None:
    refused = private.lab.call("up", "--address-kind", "route", check=False)

    assert refused.returncode == 1
    assert "AddressKind=private-address and keeps it" in refused.stderr
    assert "take the lab down first" in refused.stderr
    private.lab.up("--address-kind", "private-address")
    assert private.lab.address == private.address


# --- A route -------------------------------------------------------------------------


def test_overlay_address_of_nobody_leads_nowhere(overlay: Ground) -> None:
    address = overlay.lab.status()["address"]
    assert (address["kind"], address["holder"]) == ("route", None)
    assert len(overlay.objects) == 2
    assert overlay.answered() == ""


def test_overlay_address_follows_its_routes(overlay: Ground) -> None:
    for node in ("lb-1", "lb-2"):
        overlay.lead_to(node)

        assert overlay.answered() == f"{node} sees {overlay.customer}"
        assert overlay.lab.holder == node


def test_overlay_address_has_no_holder_while_its_routes_differ(
    overlay: Ground,
) -> None:
    for node, table in zip(("lb-1", "lb-2"), overlay.objects, strict=True):
        overlay.change(ROUTE, node, overlay.address, table)

    status = overlay.lab.status()
    assert status["address"]["holder"] is None
    assert not any(node["holds_address"] for node in status["nodes"])


def test_source_check_drops_what_is_of_the_overlay_address(overlay: Ground) -> None:
    overlay.lead_to("lb-1")
    overlay.change(SOURCE_CHECK, "lb-1", "on")
    try:
        assert overlay.answered() == ""
        assert overlay.heard_from("lb-1") == overlay.nodes["lb-1"]["address"]
    finally:
        overlay.change(SOURCE_CHECK, "lb-1", "off")
    assert overlay.answered() == f"lb-1 sees {overlay.customer}"
    assert overlay.heard_from("lb-1") == overlay.address
