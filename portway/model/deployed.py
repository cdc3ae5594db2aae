"""What was deployed to a node, and whether a run would go back from it. Pure."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a run deploys from: this repository at some commit, or a copy of it."""

    portway: str
    """Portway's version."""
    commit: str | None = None
    """None if it is no git repository."""
    committed_at: int = 0
    """Seconds since 1970."""
    changed: bool = False
    """Whether files differ from that commit."""

    def __str__(self) -> str:
        if self.commit is None:
            return f"Portway {self.portway}, not in git"
        changed = " with uncommitted changes" if self.changed else ""
        return f"commit {self.commit[:12]} of {_time(self.committed_at)}{changed}"


@dataclass(frozen=True, slots=True)
class Deployed:
    """The record that a run leaves on a node."""

    checkout: Checkout
    clients_sha256: str
    settings_sha256: str
    deploys: str
    who: str
    when: int
    """Seconds since 1970."""
    succeeded: bool

    def __str__(self) -> str:
        how = "deployed" if self.succeeded else "begun, without success,"
        return (
            f"{self.checkout}, {how} on {_time(self.when)} by {self.who} with "
            f"{self.deploys}"
        )

    def to_json(self) -> str:
        """The record as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Deployed | None":
        """The record that ``to_json`` made; None if it is none."""
        try:
            saved = json.loads(text)
            found = cls(**saved | {"checkout": Checkout(**saved["checkout"])})
        except (KeyError, TypeError, ValueError):
            return None
        commit = found.checkout.commit  # git gets it as an argument
        return found if commit is None or COMMIT.fullmatch(commit) else None


Contains = Callable[[str, str], bool | None]
"""Whether the second commit is the first or comes after it; None if one is unknown."""


def why_back(ours: Checkout, found: Checkout, contains: Contains) -> str:
    """Why a run from ``ours`` takes a node back from ``found``; "" if it does not.

    Commits that this repository knows are compared by their history, others by their
    time, copies without git by Portway's version.
    """
    if ours.commit is None or found.commit is None:
        newer = _numbers(found.portway) > _numbers(ours.portway)
        return "this checkout is of an older version" if newer else ""
    if found.commit == ours.commit or contains(found.commit, ours.commit):
        return ""
    if contains(ours.commit, found.commit):
        return "this checkout is older"
    if contains(found.commit, ours.commit) is not None:
        return "this checkout lacks changes that were deployed"
    if found.committed_at > ours.committed_at:
        return "this checkout is older, and does not know that commit (git fetch)"
    return ""


def lacks_uncommitted(ours: Deployed, found: Deployed) -> bool:
    """Whether what somebody deployed without committing it is not in what we deploy.

    Whoever goes on changing what is theirs is not asked.
    """
    if not found.checkout.changed or found.checkout.commit != ours.checkout.commit:
        return False
    if ours.checkout.changed and ours.who == found.who:
        return False
    hashes = (found.clients_sha256, found.settings_sha256)
    return hashes != (ours.clients_sha256, ours.settings_sha256)


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


def _time(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return "an unknown time"
