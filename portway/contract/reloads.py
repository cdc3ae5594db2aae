"""HAProxy's reloads: why each was made, and how the node remembers them."""

import json
from dataclasses import dataclass
from enum import StrEnum

LONGEST_REASON = 300
"""Characters: reasons end up in a file that is kept small."""


class Kind(StrEnum):
    """Why HAProxy is reloaded, in the few words that metrics count by."""

    CLIENTS = "clients"
    """Clients were added, removed or changed."""
    SETTINGS = "settings"
    """Something else in the configuration changed."""
    SERVERS = "servers"
    """The running process could not be given other servers."""
    UNKNOWN = "unknown"
    """What the process runs is not recorded."""
    BY_HAND = "by-hand"
    """Somebody reloaded it, not Portway."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why HAProxy is reloaded."""

    kind: Kind
    text: str

    def to_json(self) -> str:
        """The reason as Portway leaves it for the node's program."""
        return json.dumps({"kind": self.kind, "text": self.text[:LONGEST_REASON]})

    @classmethod
    def from_json(cls, text: str) -> "Reason":
        """The reason in such a text. ValueError if there is none."""
        try:
            found = json.loads(text)
            return cls(Kind(found["kind"]), str(found["text"]))
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error


BY_HAND = Reason(Kind.BY_HAND, "reloaded by someone other than Portway")
