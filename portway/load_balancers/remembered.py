"""What a load balancer remembers: HAProxy's reloads, and its address mover's log."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from portway.contract.paths import RELOADS
from portway.ops.framing import NodeFact

LINES = 500
"""Of the journal of each program that are read."""


@dataclass(frozen=True, slots=True)
class Reload:
    """One reload of HAProxy."""

    when: int
    """Seconds since 1970."""
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """One line that the address mover or the check logged."""

    when: float
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a load balancer remembers of its past."""

    reloads: tuple[Reload, ...] = ()
    said: tuple[Said, ...] = ()
    """The oldest first."""


class RememberedFacts(NodeFact[Remembered]):
    """Reloads, and what the mover and the check logged, in one round trip."""

    def command(self) -> str:
        """A script that never fails."""
        return _SCRIPT

    def process(self, output: list[str]) -> Remembered:
        """What those lines describe."""
        words = [line.partition(" ") for line in output]
        reloads = "".join(text for kind, _, text in words if kind == "reloads")
        said = [s for kind, _, text in words if kind == "log" for s in _said(text)]
        return Remembered(
            tuple(_reloads(reloads)), tuple(sorted(said, key=lambda s: s.when))
        )

    @staticmethod
    def default() -> Remembered:
        """A new node."""
        return Remembered()


def _reloads(text: str) -> Iterator[Reload]:
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        for found in json.loads(text)["last"]:
            yield Reload(int(found["time"]), str(found["kind"]), str(found["reason"]))


def _said(text: str) -> Iterator[Said]:
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        found = json.loads(text)
        yield Said(
            int(found["__REALTIME_TIMESTAMP"]) / 1e6,
            str(found["_SYSTEMD_UNIT"]).removesuffix(".service"),
            str(found["MESSAGE"]),
        )


_SCRIPT = f"""
[ ! -f {RELOADS} ] || sed 's/^/reloads /' {RELOADS}
for unit in portway-address portway-check; do
    journalctl -q -u $unit _SYSTEMD_UNIT=$unit.service -o json --no-pager -n {LINES} \\
        --output-fields=MESSAGE,_SYSTEMD_UNIT 2>/dev/null | sed 's/^/log /'
done
"""
