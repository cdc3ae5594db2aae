"""What a long run saw, as values that a file keeps. Pure."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.traffic.streams import Stream

NODES, CLIENTS = "nodes", "clients"
"""The parts: changes of application nodes, and of clients."""


@dataclass(slots=True)
class Change:
    """One change and the run of a deploy that carried it out."""

    part: str
    what: str
    """For people: ``app-3 enters standby``."""
    began: float
    """When the run began; AWS had changed by then."""
    ended: float = 0.0
    answered: float = 0.0
    """When AWS had answered the run's question that carried the change; 0 if it was
    not asked."""
    served: float = 0.0
    """When the first message was acknowledged by a node that it brought."""
    comes: tuple[str, ...] = ()
    """The nodes that it brings, as they call themselves in acknowledgements."""
    goes: tuple[str, ...] = ()
    dies: bool = False
    """Whether those that go had gone before the run."""
    stages: dict[str, float] = field(default_factory=dict)
    """When each load balancer was seen with a server that is new to it."""
    problem: str = ""
    """The end of the run's output, if it failed or reloaded without need."""

    @property
    def seconds(self) -> float | None:
        """From AWS's answer to the first message; None if the change brings nobody."""
        if not self.comes or not self.answered or not self.served:
            return None
        return self.served - self.answered


@dataclass(slots=True)
class Look:
    """What one load balancer's HAProxy was like at a moment."""

    at: float
    node: str
    reloads: int
    """How often this HAProxy was reloaded since it was started."""
    workers: int
    memory: int
    """KiB that its workers have for themselves, all together."""
    largest: int = 0
    """KiB of the worker that has most."""


@dataclass(slots=True)
class Drain:
    """When a load balancer was first seen to give a server no new connections."""

    at: float
    node: str
    address: str


@dataclass(slots=True)
class Settings:
    """What the run deployed, and who was where."""

    drain_timeout: float
    retire_after: float
    holder: str
    """The load balancer with the address."""
    streams: int
    """How many were held throughout."""
    asked: dict[str, int] = field(default_factory=dict)
    """How many changes of each part were to be made."""
    minutes: float = 0.0
    """The most that they were to take."""


@dataclass(slots=True)
class Endurance:
    """A whole run."""

    settings: Settings
    changes: list[Change] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    """The address of each node, by what it calls itself."""
    streams: list[Stream] = field(default_factory=list)
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    """Messages that were acknowledged and are not in the database."""
    began: float = 0.0
    ended: float = 0.0

    def of(self, part: str) -> list[Change]:
        """The changes of a part, in order."""
        return [change for change in self.changes if change.part == part]


def to_text(run: Endurance) -> str:
    """A run as JSON."""
    return json.dumps(asdict(run), indent=0, separators=(",", ":")) + "\n"


def from_text(text: str) -> Endurance:
    """The run that ``to_text`` wrote; ValueError, TypeError or KeyError if none did."""
    given: dict[str, Any] = json.loads(text)
    for key, kind in (
        ("changes", Change),
        ("looks", Look),
        ("drains", Drain),
        ("streams", Stream),
    ):
        given[key] = [kind(**item) for item in given[key]]
    for change in given["changes"]:
        change.comes, change.goes = tuple(change.comes), tuple(change.goes)
    given["settings"] = Settings(**given["settings"])
    return Endurance(**given)
