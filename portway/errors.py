"""The error for what users can fix, and how its text is put together."""

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice

GROUP_DATA = "group_data"
"""The source of a Problem that a setting has."""

MOST_SHOWN = 50
"""How many problems an error lists before it only counts."""


class PortwayError(Exception):
    """A refusal or failure in words: what is wrong and where, why, and what to do.

    Each has a line of its own; ``do`` may be several, such as a command.
    """

    problems: "tuple[Problem, ...]" = ()
    """The single ones, if that is what it lists."""

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        self.what, self.why, self.do = what, why, do
        self.message = "\n  ".join(filter(None, (what, why, *do.splitlines())))
        super().__init__(self.message)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one entry, and the fix."""

    source: str
    """The file, or the place in AWS, that has the entry."""
    entry: str
    text: str
    guarded: str = field(default="", compare=False, repr=False)
    """The text without the value, where it shows one."""

    def without_value(self) -> "Problem":
        """The same for readers who may not see what the entry has."""
        return replace(self, text=self.guarded or self.text)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.entry, self.text) if part)


def refuse_if_any(problems: Iterable[Problem]) -> None:
    """Raise one PortwayError that lists all problems, one a line; none: return."""
    found = list(problems)
    lines = [str(problem) for problem in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"… and {len(found) - MOST_SHOWN} more")
    if lines:
        head = (
            [] if len(lines) == 1 else [f"{len(found)} problems; nothing was touched:"]
        )
        error = PortwayError("\n  ".join([*head, *lines]))
        error.problems = tuple(found)
        raise error


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say about a key that nothing reads, with the nearest one that is read."""
    choices = sorted(known)
    near = get_close_matches(key, choices, n=1, cutoff=0.5)
    hint = (
        f'did you mean "{near[0]}"?' if near else f"the keys are {', '.join(choices)}"
    )
    return f"unknown key {shown(key)}; {hint}"


def shown(value: object, longest: int = 60) -> str:
    """A value as an error shows it: on one line, and cut if it is long."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    text = text.encode("unicode_escape").decode().replace("\\\\", "\\")
    return text if len(text) <= longest else text[:longest] + "…"


def first_of(names: Collection[str], most: int = 5) -> str:
    """Names on one line, not more than people read, and how many more there are."""
    ordered = sorted(names) if isinstance(names, Set) else names
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(islice(ordered, most)) + more
