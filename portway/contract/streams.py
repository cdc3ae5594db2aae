"""The stream keeper's configuration, status and metrics on a load balancer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OVERDUE = 20
"""Seconds after which an old status means that the keeper hangs or is dead; it is
written every 5 s."""

HELD = 0.7
"""Seconds that HAProxy holds a new connection of an ``ordered`` client while the keeper
has not approved the node for it. Then it goes ahead: availability comes first."""

STICK_TABLE_KEY = 1
"""The entry in the stick table of an ``ordered`` backend: which server is active, and
in ``gpt0`` how many usable servers there were when the keeper approved it. A client
that this server refuses has one for itself, whose key adds its frontend's id."""


@dataclass(frozen=True, slots=True)
class OrderedBackend:
    """A backend whose clients use one node at a time."""

    clients: Mapping[str, int]
    """Names of the frontends that use it, with their ports on the nodes."""
    servers: tuple[str, ...]
    """The one that is preferred first."""


@dataclass(frozen=True, slots=True)
class StreamsConfig:
    """What the keeper of one load balancer must know. No secrets."""

    stack: str
    ordered: Mapping[str, OrderedBackend] = field(default_factory=dict)
    """By the backend's name."""
    retire_after: float = 0
    """Seconds that a stream in an older process may idle; 0 for any time."""
    retire_exceptions: Mapping[str, float] = field(default_factory=dict)
    """The same for clients of which something else is wanted, by name."""
    program: str = ""
    """Hash of the program's own files, so that a new program is a new config."""

    def limit(self, client: str) -> float:
        """Seconds that a stream of this client may idle in an older process."""
        return self.retire_exceptions.get(client, self.retire_after)

    def to_json(self) -> str:
        """The config as it is written to a node."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "StreamsConfig":
        """The config that ``to_json`` wrote. ValueError if it did not."""
        try:
            fields: dict[str, Any] = json.loads(text)
            ordered = {
                name: OrderedBackend(dict(found["clients"]), tuple(found["servers"]))
                for name, found in fields["ordered"].items()
            }
            return cls(**fields | {"ordered": ordered})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a config of the stream keeper: {error}") from error
