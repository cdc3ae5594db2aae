"""Why a node that deploys to itself leaves itself as it is. Pure."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

SUSPENDED = Path("/var/lib/portway/agent/suspended.json")
"""Exists on a node while it is."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why runs of its own leave a node as it is, until somebody resumes them."""

    reason: str
    who: str
    since: float
    """Seconds since 1970."""

    def __str__(self) -> str:
        return f"suspended by {self.who} since {moment(self.since)}: {self.reason}"

    def to_json(self) -> str:
        """What the node keeps."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Suspension":
        """What a node has kept; what is damaged counts, too."""
        try:
            found = json.loads(text)
            moment(since := float(found["since"]))
            return cls(str(found["reason"]), str(found["who"]), since)
        except (ValueError, TypeError, KeyError, OverflowError, OSError):
            return cls("its file is damaged", "somebody", 0.0)


def moment(seconds: float) -> str:
    """A moment for people; ``never`` for 0."""
    if not seconds:
        return "never"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
