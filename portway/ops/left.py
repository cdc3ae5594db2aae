"""What earlier runs have left on a node about what they deployed there."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from portway.contract.paths import WISHED
from portway.ops.framing import NodeFact


@dataclass(frozen=True, slots=True)
class Left:
    """What the last run that succeeded wanted of one part of a node."""

    made_with: str = ""
    """The record of that run."""
    wishes: dict[str, str] = field(default_factory=dict)
    """What stands for the wanted state of each thing, by its key."""

    def to_json(self) -> str:
        """The record as one line."""
        return json.dumps(asdict(self))


class LeftFacts(NodeFact[dict[str, Left]]):
    """What earlier runs left on a node, by part."""

    def command(self) -> str:
        """A script that never fails."""
        return f"""
for part in {WISHED}/*; do
    [ ! -f "$part" ] || printf '%s %s\\n' "${{part##*/}}" "$(tr -d '\\n' <"$part")"
done"""

    def process(self, output: list[str]) -> dict[str, Left]:
        """The records; what is none counts for nothing."""
        found = {}
        for line in output:
            part, _, text = line.partition(" ")
            with suppress(TypeError, ValueError):
                left = Left(**json.loads(text))
                if isinstance(left.wishes, dict):
                    found[part] = left
        return found

    @staticmethod
    def default() -> dict[str, Left]:
        """Nothing was ever deployed."""
        return {}
