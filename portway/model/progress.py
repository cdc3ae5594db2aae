"""How far each load balancer is with the pair's configuration, as it tells the other.

Nodes that deploy to themselves cannot ask each other. Each tells what it does in a tag
of its own instance, and the other one goes by that. Pure.
"""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum

TAG = "portway:pair"
FRESH_SECONDS = 3600
"""How long something counts that was told; who told it may be dead since."""
RENEWED_SECONDS = 600
"""After how long it is told again, by a node's next run."""
_TOLD = re.compile(r"(begun|serves) ([0-9a-f]{16}) (\d{1,12})")


class Step(StrEnum):
    """What a node tells of a configuration."""

    BEGUN = "begun"
    """It was about to apply it, and has not served with it since."""
    SERVES = "serves"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a node is."""

    step: Step
    configuration: str
    """Stands for everything that both nodes should have: 16 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a node has told, and when: seconds since 1970, by its own clock."""

    progress: Progress
    at: int

    def __str__(self) -> str:
        return f"{self.progress.step} {self.progress.configuration} {self.at}"

    @classmethod
    def parse(cls, text: str, now: float) -> "Told | None":
        """What a tag says; None if it says nothing that still counts."""
        found = _TOLD.fullmatch(text)
        if found is None or now - int(found[3]) > FRESH_SECONDS:
            return None
        return cls(Progress(Step(found[1]), found[2]), int(found[3]))


class Verdict(Enum):
    """What one node makes of what the other one tells."""

    GO_ON = "go on"
    WAIT = "wait"
    LOOK_AGAIN = "look again"
    """The other one goes by something newer."""
    STOP = "stop"
    """It began with the same configuration and does not serve with it."""
    NOTHING = "nothing"
    """It has said nothing of this configuration for long enough."""


def judge(
    wanted: str, first: Progress | None, now: Progress | None, *, is_late: bool
) -> Verdict:
    """What to do, given what the other node told at first and what it tells now."""
    if now == Progress(Step.SERVES, wanted):
        return Verdict.GO_ON
    has_begun = now == Progress(Step.BEGUN, wanted)
    if now not in (None, first) and not has_begun:
        return Verdict.LOOK_AGAIN
    if not is_late:
        return Verdict.WAIT
    return Verdict.STOP if has_begun else Verdict.NOTHING
