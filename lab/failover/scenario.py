"""A scenario: what goes wrong, how it ends, and what is expected of it. Values only."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lab.failover.outcome import Expected
from lab.failover.world import World
from lab.faults import interface as faults

Act = Callable[[World], None]


def heal(world: World) -> None:
    """Undo every fault, whatever there is."""
    faults.heal(world.lab)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that goes wrong."""

    name: str
    description: str
    inject: Act
    expected: Expected = field(default_factory=Expected)
    hold: float = 5.0
    """Seconds for which the fault lasts at least."""
    relieve: Act | None = None
    """Ends what keeps the service away, for a fault that takes it away by itself."""
    heal: Act = heal
    prepare: Act | None = None
    """Done before the clients begin."""
    every_kind: bool = False
    """Whether it is run with every kind of address, and not with an Elastic IP only."""

    @property
    def slug(self) -> str:
        """The name as the command line takes it."""
        return self.name.lower().replace(",", "").replace(" ", "-")
