"""What earlier runs have left on a node about what they deployed there."""

import json
from dataclasses import dataclass, field

from portway.contract.paths import DEPLOYED, WISHED
from portway.ops.framing import NodeFact


@dataclass(frozen=True, slots=True)
class Left:
    """What is on record on a node."""

    deployed: str = ""
    """What the last run was; empty if nothing says."""
    wishes: dict[str, str] = field(default_factory=dict)
    """What stands for the wanted state of each thing, by its key."""


class LeftFacts(NodeFact[Left]):
    """What earlier runs left on a node."""

    def command(self) -> str:
        """A script that never fails."""
        return f"""
[ ! -f {DEPLOYED} ] || printf 'deployed %s\\n' "$(tr -d '\\n' <{DEPLOYED})"
for part in {WISHED}/*; do
    [ ! -f "$part" ] || printf 'part %s\\n' "$(tr -d '\\n' <"$part")"
done"""

    def process(self, output: list[str]) -> Left:
        """The records; what is none counts for nothing."""
        deployed, wishes = "", dict[str, str]()
        for line in output:
            kind, _, text = line.partition(" ")
            if kind == "deployed":
                deployed = text
            elif kind == "part":
                wishes |= _wishes(text)
        return Left(deployed, wishes)

    @staticmethod
    def default() -> Left:
        """Nothing was ever deployed."""
        return Left()


def _wishes(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
