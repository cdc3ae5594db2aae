"""A hundred changes of application nodes, made by whoever works on a stack.

Two nodes stay. The others come and go: into standby and back, out of the group and into
it again, in place of one another, launched and terminated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from lab.endurance.membership import Group, Member


@dataclass(frozen=True, slots=True)
class Step:
    """One change of what AWS has."""

    what: str
    make: Callable[[Group], None]
    comes: tuple[str, ...] = ()
    """Machines that the load balancers are to use from then on."""
    goes: tuple[str, ...] = ()
    launches: bool = False
    """Whether a new host is to boot and to get the application before."""
    dies: bool = False
    """Whether AWS takes away who goes before the run can drain it."""


ONE, OTHER, NEW = "app-3", "app-4", "app-5"
"""Machines that come and go; the last is launched and terminated each time."""
STAYS = ("app-1", "app-2")
NODES = 4


def _of(group: Group, *machines: str) -> list[Member]:
    found = group.members()
    return [found[machine] for machine in machines]


def _standby(*machines: str) -> Step:
    return Step(
        f"{' and '.join(machines)} put into standby",
        lambda group: group.enter_standby(*_of(group, *machines)),
        goes=machines,
    )


def _back(*machines: str) -> Step:
    return Step(
        f"{' and '.join(machines)} back from standby",
        lambda group: group.exit_standby(*_of(group, *machines)),
        comes=machines,
    )


def _detached(machine: str) -> Step:
    return Step(
        f"{machine} detached",
        lambda group: group.detach(*_of(group, machine)),
        goes=(machine,),
    )


def _attached(machine: str) -> Step:
    return Step(
        f"{machine} attached",
        lambda group: group.attach(*_of(group, machine)),
        comes=(machine,),
    )


def _replaced(old: str, new: str) -> Step:
    def make(group: Group) -> None:
        group.detach(*_of(group, old))
        group.attach(*_of(group, new))

    return Step(f"{new} in place of {old}", make, (new,), (old,))


def steps(count: int) -> tuple[Step, ...]:
    """So many changes; before the first, ``OTHER`` is out and all others are in."""
    return tuple(islice(_for_ever(), count))


def _for_ever() -> Iterator[Step]:
    launched = Step(f"{NEW} launched", lambda _: None, comes=(NEW,), launches=True)
    terminated = Step(
        f"{NEW} terminated",
        lambda group: group.terminate(*_of(group, NEW)),
        goes=(NEW,),
        dies=True,
    )
    while True:
        for pair in ((launched, terminated), (_standby(ONE, OTHER), _back(ONE, OTHER))):
            yield _replaced(ONE, OTHER)
            yield _attached(ONE)
            yield _standby(OTHER)
            yield _back(OTHER)
            yield _standby(ONE)
            yield _back(ONE)
            yield from pair
            yield _detached(ONE)
            yield _replaced(OTHER, ONE)
