"""What the user may choose: values, checked."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from portway.contract.address import AddressKind

FOLDER = Path.home() / ".portway-acceptance"
"""Where runs have their own files, by default."""
STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")

MESSAGE = (
    "\x0bMSH|^~\\&|ACCEPTANCE|PORTWAY|RECEIVER|VENDOR|20260101120000||ADT^A01|"
    "{id}|T|2.5\rEVN|A01|20260101120000\r\x1c\r"
)
"""HL7 in a frame of MLLP."""
EXPECT = "MSA|AA|"
PORT = 9001
NOWHERE = "192.0.2.0/24"
"""Addresses that do not exist: nobody comes from there."""
TUNNEL = "aws ec2-instance-connect open-tunnel --instance-id {instance_id}"

VIRTUAL_ADDRESS = {
    AddressKind.ELASTIC_IP: "",
    AddressKind.PRIVATE: "10.60.0.200",
    AddressKind.ROUTE: "10.255.0.1",
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the stack is: as small as everything runs in."""

    load_balancer_type: str = "t3.micro"
    application_type: str = "t3.micro"
    database_class: str = "db.t4g.micro"
    application_nodes: int = 2
    database_storage: int = 20


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that a run is told."""

    stack: str
    region: str
    folder: Path
    """Of all runs with this stack's name."""
    kind: AddressKind = AddressKind.ELASTIC_IP
    sizes: Sizes = field(default_factory=Sizes)
    operator_cidr: str = ""
    """Empty: an Instance Connect Endpoint is made, and is the way to nodes."""
    client_cidrs: str = "0.0.0.0/0"
    inventory: str = "inventories/prod.py"
    data: tuple[str, ...] = ()
    token_secret: str = ""
    client: str = ""
    """A command to put before the client's program; empty: it runs here."""
    message: str = MESSAGE
    expect: str = EXPECT
    port: int = PORT
    only: tuple[str, ...] = ()
    """The parts to run; empty for all."""

    @property
    def has_tunnel(self) -> bool:
        """Whether nodes are reached through an Instance Connect Endpoint."""
        return not self.operator_cidr

    def parameters(self, key_name: str, zones: tuple[str, str]) -> dict[str, str]:
        """The stack's."""
        return {
            "OperatorCidr": self.operator_cidr or NOWHERE,
            "ConnectEndpoint": "yes" if self.has_tunnel else "no",
            "KeyName": key_name,
            "ClientCidrs": self.client_cidrs,
            "ZoneA": zones[0],
            "ZoneB": zones[1],
            "LoadBalancersAs": "groups",
            "LoadBalancerSubnets": "one" if self.kind is AddressKind.PRIVATE else "two",
            "AddressKind": self.kind.value,
            "VirtualAddress": VIRTUAL_ADDRESS[self.kind],
            "LoadBalancerInstanceType": self.sizes.load_balancer_type,
            "ApplicationInstanceType": self.sizes.application_type,
            "ApplicationNodes": str(self.sizes.application_nodes),
            "DatabaseInstanceClass": self.sizes.database_class,
            "DatabaseStorage": str(self.sizes.database_storage),
            "DatabaseMultiAz": "false",
            "DatabaseDeletionProtection": "false",
        }


def clean_up_command(folder: Path) -> str:
    """What deletes what the run left whose files are here."""
    given = "" if folder.parent == FOLDER else f" --folder {folder.parent}"
    return f"python -m acceptance --clean-up {folder.name}{given}"


def unescaped(text: str) -> str:
    r"""A message as it is typed, with \\r, \\n, \\t and \\x0b, as it is sent."""
    return text.encode("latin-1").decode("unicode_escape")
