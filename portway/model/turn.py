"""Whose turn it is to be out of service, as a small object in S3 says. Pure.

Application nodes that deploy to themselves cannot ask each other. There are as many
objects as nodes may be out of service at once; each is taken, kept and given back by
writing it, which S3 does only if nobody else has written it since it was read.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace

EXPIRES_SECONDS = 120.0
"""How long a turn lasts that nobody renews, by S3's clock."""
RENEWED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of the objects says."""

    instance: str
    """The id of the instance that wrote it."""
    node: str
    """What people call that."""
    is_over: bool = False
    """Whether the node serves again; if not, it is going on, unless it is too old."""
    failed: str = ""
    """Stands for what a node was given and did not serve with; others do not try."""
    failed_on: str = ""
    """The id of that instance."""
    count: int = 0
    """How often it was written: no two writings are the same."""

    def is_refused(self, instance: str, wanted: str, others: Collection[str]) -> bool:
        """Whether another node has failed with what an instance is to be given.

        ``others`` are the instances that there are: one that is gone counts no more.
        """
        return (
            self.failed == wanted
            and self.failed_on != instance
            and self.failed_on in others
        )

    def to_json(self) -> str:
        """The content of the object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Turn | None":
        """What an object says; None if it says nothing that we know."""
        try:
            found = json.loads(text)
            known = {f.name: found[f.name] for f in fields(cls) if f.name in found}
            turn = cls(**known)
            return replace(turn, count=int(turn.count))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as it was read."""

    turn: Turn | None
    """None if there is no such object, or it says nothing that we know."""
    etag: str = ""
    """Empty if there is none."""
    age: float = 0.0
    """Seconds since it was written, by S3's clock."""


def why_not(seen: Seen, instance: str, wanted: str, others: Collection[str]) -> str:
    """Why an instance may not take a turn; empty if it may."""
    turn = seen.turn
    if turn is None:
        return ""
    if turn.is_refused(instance, wanted, others):
        return f"{turn.failed_on} did not serve with the same"
    if turn.is_over or turn.instance == instance or seen.age >= EXPIRES_SECONDS:
        return ""
    return f"{turn.node} ({turn.instance}) has its turn"
