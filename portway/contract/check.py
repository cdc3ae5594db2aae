"""The check's configuration, as Portway writes it to a load balancer."""

import json
from dataclasses import asdict, dataclass
from typing import Any

RELEASE = -254
"""What takes any priority to fault, in which a master tells its peer at once that it
gives up (keepalived, track_file.c)."""


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """What HAProxy is asked, and what its answers are worth. No secrets."""

    address: str
    """The clients' address, which the VRRP master has on its loopback interface."""
    stats_frontend: str
    """The one frontend that is no client's."""
    good: int
    """What is added to the VRRP priority while HAProxy serves."""
    bad: int
    """And while it does not."""
    outage: float
    """Seconds without a server that is up until that counts. The peer loses them within
    this time as well, if it is the application that is down."""
    rise: float
    """Seconds for which a VRRP backup must serve again until that counts."""
    fall: float = 0.5
    """Seconds that HAProxy's socket may be without a listener."""
    reload: float = 3.0
    """Seconds for which the process that a reload replaces may still answer."""
    patience: float = 0.8
    """Seconds that HAProxy may take for the next part of an answer."""
    program: str = ""
    """Hash of the program's own files, so that a new program is a new config."""

    def to_json(self) -> str:
        """The config as it is written to a node."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "CheckConfig":
        """The config that ``to_json`` wrote. ValueError if it did not."""
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(**fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"not a config of the check: {error}") from error
