"""What a load balancer's address mover is told, as Portway writes it to the node."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from portway.node.address.places import AddressKind

CONFIG = Path("/etc/portway/address.json")
RUN_FOLDER = Path("/run/portway/address")
"""Where the state is kept, until a reboot."""
FIFO = RUN_FOLDER / "vrrp.fifo"
"""Where keepalived writes every change of its state."""
STATUS = RUN_FOLDER / "status.json"
OVERDUE = 20
"""Seconds after which a status that was not written anew is that of a mover that hangs
or is dead; it is written at least every five, and a call may take some."""
METRICS_FOLDER = Path("/var/lib/prometheus/node-exporter")
"""Where Debian's node exporter looks for text files."""
TRANSFER = Path("/etc/portway/transfer")
"""Says 1 while this node has given the address away on purpose; keepalived tracks it,
and it is kept over reboots."""


def gives_away(text: str) -> bool:
    """Whether a content of ``TRANSFER`` gives the address away, as keepalived reads it.

    It takes what is no number for 0.
    """
    try:
        return int(text) != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Config:
    """One node's part in keeping the address where VRRP says it is. No secrets."""

    stack: str
    node: str
    peer: str
    kind: AddressKind
    address: str
    objects: tuple[str, ...]
    """Ids of the places in AWS that make the address lead to a node."""
    region: str
    instance_id: str
    interface_id: str
    peer_instance_id: str
    peer_interface_id: str
    insists_from: int | None
    """VRRP priority from which on this node, while it is master, takes the address from
    its peer at any time, and not only when it becomes master: of two masters that do
    not hear each other only a healthy master of record does. None for never."""
    left_behind: float = 15.0
    """Seconds after which a backup that still has the address gives it to its peer;
    more than VRRP takes to make a master."""
    check_interval: float = 5.0
    """Seconds between two looks at AWS while this node is VRRP master."""
    standby_interval: float = 60.0
    """Seconds between two looks while it is not, which show that it could."""
    program: str = ""
    """Hash of the program's own files, so that another program is another config."""

    def to_json(self) -> str:
        """The config as it is written to a node."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """The config that ``to_json`` wrote. ValueError if it did not."""
        try:
            fields: dict[str, Any] = json.loads(text)
            kind, objects = AddressKind(fields["kind"]), tuple(fields["objects"])
            return cls(**fields | {"kind": kind, "objects": objects})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a config of the address mover: {error}") from error
