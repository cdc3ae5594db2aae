"""What each run leaves on its nodes, for people to read later. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from portway.model.deployed import Checkout, Deployed

MOST_CHANGES = 30
"""How many changes a report names; of the others it keeps the number."""
LONGEST_CHANGE = 100
"""Characters."""
DIED = "died\t"
"""How the line begins that a run leaves which was never heard of again: the next run
makes it of what it finds in the lease."""

SUCCEEDED, FAILED, GONE, GOING = "succeeded", "failed", "broken off", "going on"


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run, as one node remembers it."""

    who: str
    what: str
    """The deploys, and the options that choose nodes."""
    began: int
    """Seconds since 1970."""
    ended: int
    """The same; 0 if that is not known."""
    result: str
    """``succeeded``, ``failed`` (or interrupted), ``broken off`` if it was never heard
    of again, or ``going on``."""
    checkout: Checkout | None = None
    changes: tuple[str, ...] = ()
    """What it changed on the node: names of operations."""
    more: int = 0
    """How many changes are not named."""

    def to_json(self) -> str:
        """The report as one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def kept_changes(names: list[str]) -> tuple[tuple[str, ...], int]:
    """The changes that a report names, and how many it only counts."""
    kept = (name[:LONGEST_CHANGE] for name in names[:MOST_CHANGES])
    return tuple(kept), max(0, len(names) - MOST_CHANGES)


def read_report(line: str) -> RunReport | None:
    """The report on one line of a node's list; None if it is none."""
    if line.startswith(DIED):
        words = (part.partition(" ") for part in line.removeprefix(DIED).split("\t"))
        return from_lease({key: value for key, _, value in words}, GONE)
    try:
        saved: dict[str, Any] = json.loads(line)
        checkout = saved["checkout"] and Checkout(**saved["checkout"])
        changes = tuple(map(str, saved["changes"]))
        return RunReport(**saved | {"checkout": checkout, "changes": changes})
    except (KeyError, TypeError, ValueError):
        return None


def from_lease(said: Mapping[str, str], result: str) -> RunReport | None:
    """The run that a lease names; None if that is not one."""
    since = said.get("since", "")
    if "who" not in said or not since.isdecimal():
        return None
    deployed = Deployed.from_json(said.get("deployed", ""))
    return RunReport(
        who=said["who"],
        what=said.get("what", ""),
        began=int(since),
        ended=0,
        result=result,
        checkout=deployed.checkout if deployed else None,
    )
