"""The addresses of what is outside the VPC, and other fixed facts of every lab.

All but one are addresses for documentation: nobody's. Addresses inside the VPC are
never written down; they are what AWS says.
"""

from dataclasses import dataclass

from lab.plan.names import OPERATOR, Lab

REGION = "us-east-1"
ACCOUNT = "123456789012"

STACK = "portway"
"""The name of the stack that the lab makes itself; somebody else's can have another."""

API_PORT = 443
"""Plain HTTP on the port AWS has, so that egress rules mean what they mean there."""


METADATA = "169.254.169.254"
"""Where instances ask for their metadata."""

AWS_DEVICE = "aws"
"""The router's end of the link to AWS."""

DATABASE_TAG = "lab:database"
"""Marks the network interface that RDS makes for a database."""


@dataclass(frozen=True, slots=True)
class Station:
    """A namespace at the edge of the lab's network with one address."""

    thing: str
    address: str
    gateway: str
    prefix: int = 25


@dataclass(frozen=True, slots=True)
class Outsider:
    """A machine outside the VPC: the operator's (by VPN) or a customer's."""

    device: str
    address: str
    by_internet: bool
    """Whether it reaches instances by their public addresses."""


AWS = Station("aws", "192.0.2.10", "192.0.2.1")
OPERATOR_STATION = Station(OPERATOR, "192.0.2.130", "192.0.2.129")
CUSTOMERS = (
    Station("customer", "198.51.100.10", "198.51.100.1"),
    Station("customer-2", "198.51.100.200", "198.51.100.129"),
)
"""Two, so that a source outside an allow list can be shown."""

STATIONS = (AWS, OPERATOR_STATION, *CUSTOMERS)

ARTIFACTORY_ADDRESS = "192.0.2.20"
ARTIFACTORY_URL = f"http://{ARTIFACTORY_ADDRESS}/artifactory"
ARTIFACTORY_SECRET = "portway/artifactory"  # noqa: S105 - its name
"""The secret with the access token."""

OVERLAY_ADDRESS = "10.255.0.1"
"""Outside the VPC's range; routes point it to a load balancer."""

ADDRESS_TO_CHOOSE = "192.0.2.255"
"""Stands for an address of a subnet that is made together with the stack."""

AWS_ADDRESSES = (AWS.address, METADATA, ARTIFACTORY_ADDRESS)
"""What the namespace of AWS answers for."""

ENDPOINT = f"http://{AWS.address}:{API_PORT}"

SYNCHRONIZE = "/lab/synchronize"
"""A request of the lab's own to AWS: bring the router up to date with the hosts."""

FAULTS = "/lab/faults"
"""Another: what is wrong with AWS. GET, POST one more, DELETE all."""

CALLS = "/lab/calls"
"""Another: GET the calls that were answered, ``?since=`` seconds of the epoch."""

OUTSIDERS = (
    Outsider(OPERATOR_STATION.thing, OPERATOR_STATION.address, by_internet=False),
    *(Outsider(c.thing, c.address, by_internet=True) for c in CUSTOMERS),
)


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIALABOPERATOR00000",
    "AWS_SECRET_ACCESS_KEY": "only-the-lab-takes-this",
}
"""The operator's, of no use anywhere else. They allow what the stack's policy says."""
OPERATOR_USER = "operator"
"""The operator in IAM."""
OWNER = {**CREDENTIALS, "AWS_ACCESS_KEY_ID": "AKIALABOWNER00000000"}
"""Those of the account's owner, who creates the stack and may do everything."""


def operator_environment(lab: Lab) -> dict[str, str]:
    """What a command needs to act as the operator."""
    return {
        **CREDENTIALS,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": ENDPOINT,
        "PORTWAY_STACK": STACK,
        "PORTWAY_LAB": lab.name,
        "PORTWAY_DATABASE_CA": str(lab.directory / "authority" / "authority.pem"),
        "HOME": str(lab.home),
    }
