"""The address mover's configuration, as Portway writes it to a load balancer."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from portway.contract.address import AddressKind

OVERDUE = 20
"""Seconds after which an old status means that the mover hangs or is dead. It is
written at least every 5 s, and a call to EC2 may take some seconds."""

_RENAMED = {"insists_from": "reclaim_priority", "left_behind": "hand_back_after"}
"""Names in 0.1.0, which an interrupted upgrade may leave behind."""
_REMOVED = ("instance_id", "peer_instance_id")
"""Fields of 0.1.0 that nothing needs any more."""


@dataclass(frozen=True, slots=True)
class MoverConfig:
    """One node's part in keeping the address where VRRP says it is. No secrets."""

    stack: str
    node: str
    peer: str
    """The name of the other load balancer; this and its ids are empty while there is
    none."""
    kind: AddressKind
    address: str
    objects: tuple[str, ...]
    """Ids of the AWS objects that make the address point to a node."""
    region: str
    interface_id: str
    peer_interface_id: str
    reclaim_priority: int | None
    """VRRP priority from which this node, while it is master, may take the address from
    its peer at any time, and not only when it becomes master. Of two masters that do
    not hear each other, only a healthy master of record does. None for never."""
    hand_back_after: float = 15.0
    """Seconds after which a backup that still has the address gives it to its peer;
    longer than VRRP takes to elect a master."""
    stay: int = 0
    """What this node adds to its VRRP priority while it has the address of the other
    one, so that it keeps it; 0 if it does not."""
    claim: int = 0
    """What it adds to take its own address back; 0 if it needs nothing for that."""
    fail_back: float | None = 0.0
    """Seconds that it must serve until it does that; None for never by itself."""
    check_interval: float = 5.0
    """Seconds between two looks at AWS while this node is VRRP master."""
    standby_interval: float = 60.0
    """Seconds between two looks while it is not, which show that it could move it."""
    program: str = ""
    """Hash of the program's own files, so that a new program is a new config."""

    def to_json(self) -> str:
        """The config as it is written to a node."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "MoverConfig":
        """The config that ``to_json`` wrote. ValueError if it did not."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields = {
                _RENAMED.get(name, name): value
                for name, value in fields.items()
                if name not in _REMOVED
            }
            kind, objects = AddressKind(fields["kind"]), tuple(fields["objects"])
            return cls(**fields | {"kind": kind, "objects": objects})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a config of the address mover: {error}") from error
