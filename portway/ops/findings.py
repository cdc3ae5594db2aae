"""What a run has found out about its nodes, whether it changes them or only looks.

A look is a run that pyinfra prepares and never executes: it takes no lease and writes
nothing. What it finds to differ is what the run would change; the rest of a system,
such as where the address is, it asks as the run does when it is over.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyinfra.context import ctx_state

from portway.ops.differences import Difference
from portway.ops.reading import Key, once_per_run, readings

LOOK: Key = (None, "look")
NODE, DATABASE = "node", "database"
"""The parts of what a run wants: of the node itself, and of the database.

Findings in the database have the second in place of a node's name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that is not as it should be, and that no run mends by itself."""

    kind: str
    thing: str
    what: str
    diff: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """What a run has found, each with the name of its node; "" for the whole system.

    The order is that of finding them; nothing is there twice.
    """

    differences: dict[tuple[str, Difference], None] = field(default_factory=dict)
    """What a run changes."""
    seen: dict[tuple[str, Seen], None] = field(default_factory=dict)
    states: dict[tuple[str, str], None] = field(default_factory=dict)
    """What is as somebody wants it to be, and not for ever: a transfer."""
    unknown: dict[tuple[str, str], None] = field(default_factory=dict)
    """What could not be found out."""
    told: Counter[str] = field(default_factory=Counter)
    """How often a difference was told of each node, also the same one again."""
    wishes: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    """What stands for the wanted state of each thing: by node, part and thing."""


def findings() -> Findings:
    """What this run has found until now."""
    return once_per_run("findings", Findings)


def look_only() -> None:
    """Have this run only look."""
    readings().keep(LOOK, True)


def is_look() -> bool:
    """Whether this run only looks."""
    return bool(ctx_state.get() and readings().get(LOOK))  # type: ignore[no-untyped-call]


def differs(node: str, differences: Iterable[Difference]) -> None:
    """Keep what a run changes on a node."""
    found = findings()
    for difference in differences:
        found.differences[difference.node or node, difference] = None
        found.told[node] += 1


def see(
    node: str, kind: str, thing: str, what: str, diff: tuple[str, ...] = ()
) -> None:
    """Keep what is not as it should be."""
    findings().seen[node, Seen(kind, thing, what, diff)] = None


def is_state(node: str, what: str) -> None:
    """Keep a state that somebody wants for a time."""
    findings().states[node, what] = None


def is_unknown(node: str, what: str) -> None:
    """Keep what could not be found out."""
    findings().unknown[node, what] = None


def wish(node: str, part: str, wishes: dict[str, str]) -> None:
    """Keep what is wanted, for the record that a run leaves when it has succeeded.

    A run replaces the parts of a record that it was about, each as a whole.
    """
    findings().wishes.setdefault(node, {}).setdefault(part, {}).update(wishes)
