"""What a scenario expects, what came of it, and whether that is good enough. Pure.

Times are seconds since the epoch; what is called seconds is a duration.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from lab.aws.address import Address
from lab.failover.pair import MOVES
from lab.plan.records import Host
from lab.traffic.acknowledgements import Report, percentile

BIN = 0.2
"""Seconds that one value of ``Outcome.served`` covers."""
BEFORE, AFTER = 5.0, 40.0
"""The part of a scenario that is drawn, from its injection."""

SHORTEST_GAP = 0.5
"""A pause between two acknowledgements up to this is none to speak of."""


AGAIN = 5.0
"""Seconds that no client may wait once a lasting outage is over."""


class Moves(StrEnum):
    """How often the address should move while a scenario lasts."""

    NONE = "none"
    AWAY = "away"
    """To the backup, and then no more."""
    AWAY_AND_BACK = "away and back"
    """To the backup while the fault lasts, and back: twice."""
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a scenario is held to."""

    outage: float | None = 1.5
    """Seconds that no client may go without an acknowledgement, beyond the usual."""
    restored: float | None = None
    """Seconds from the end of the cause until every client is served again."""
    moves: Moves = Moves.AWAY_AND_BACK


class Call(Protocol):
    """A call that AWS answered, as ``lab.faults.calls`` lists them."""

    @property
    def at(self) -> float:
        """When it came."""

    @property
    def source(self) -> str:
        """The address it came from."""

    @property
    def action(self) -> str:
        """Its name."""

    @property
    def status(self) -> int:
        """The answer's HTTP status."""

    @property
    def parameters(self) -> dict[str, str]:
        """What it was about."""

    @property
    def seconds(self) -> float:
        """From its coming to its answer."""


@dataclass(frozen=True, slots=True)
class Move:
    """AWS gave the address to a node."""

    at: float
    to: str
    seconds: float
    """From the first call that asked for it until AWS had done it."""
    by_hand: bool = False
    """Whether no load balancer did it."""


@dataclass(slots=True)
class Times:
    """When the parts of a scenario were."""

    injected: float = 0.0
    gone: float = 0.0
    """When the cause of a lasting outage began to go away, or the healing."""
    healed: float = 0.0
    """When the healing began."""
    settled: float | None = None


@dataclass(slots=True)
class Outcome:
    """What came of one scenario."""

    name: str
    description: str
    kind: str
    bound: float | None
    restored_bound: float | None
    times: Times
    problems: list[str] = field(default_factory=list)
    """Why it did not pass; empty if it did."""
    outages: list[float] = field(default_factory=list)
    """Each client's, in seconds."""
    acknowledged: int = 0
    resent: int = 0
    lost: int = 0
    moves: list[Move] = field(default_factory=list)
    detection: float | None = None
    """Seconds from the injection to a load balancer's first call for the address."""
    restored: float | None = None
    again: float = 0.0
    """The longest that any client waited once all had been served again."""
    served: list[float] = field(default_factory=list)
    """The share of clients that are served, for every ``BIN`` from ``BEFORE`` on."""
    masters: list[tuple[float, str]] = field(default_factory=list)
    """Who was VRRP master, from when on."""
    runs: list[float] = field(default_factory=list)
    """The worst client's outage in each run, if this stands for several."""

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.problems

    @property
    def over_runs(self) -> tuple[float, float, float]:
        """Minimum, median and maximum over runs of the worst client's outage."""
        runs = sorted(self.runs or [self.longest])
        return runs[0], percentile(runs, 0.5), runs[-1]

    @property
    def longest(self) -> float:
        """The worst client's outage."""
        return max(self.outages, default=0.0)

    @property
    def api(self) -> float | None:
        """Seconds that AWS took for the load balancers' first move."""
        return next((m.seconds for m in self.moves if not m.by_hand), None)

    @property
    def recovery(self) -> float | None:
        """Seconds from the healing until everything was as before."""
        settled = self.times.settled
        return None if settled is None else settled - self.times.healed


def worst(runs: Sequence[Outcome]) -> Outcome:
    """What stands for several runs: the worst, with all that was wrong in any."""
    chosen = max(runs, key=lambda run: (not run.passed, run.longest))
    found = list(dict.fromkeys(text for run in runs for text in run.problems))
    longest = [run.longest for run in runs]
    lost = sum(run.lost for run in runs)
    return replace(chosen, problems=found, runs=longest, lost=lost)


def moves(
    calls: Iterable[Call], address: Address, nodes: Mapping[str, Host]
) -> tuple[list[Move], float | None]:
    """The address's moves, and when a load balancer's first call for it came.

    ``nodes`` are the load balancers by name. Calls that point the address where it
    already points, such as for a second route table, are not moves. Neither are those
    by which a standby tests its permissions: dry runs, and calls about another address
    where there is no dry run.
    """
    names = {host.instance_id: node for node, host in nodes.items()}
    names |= {host.interface_id: node for node, host in nodes.items()}
    own = {host.address for host in nodes.values()}
    found: list[Move] = []
    first: float | None = None
    asked: float | None = None
    for call in sorted(calls, key=lambda call: call.at):
        given = call.parameters
        trial = given.get("DryRun", "false").lower() == "true"
        trial |= given.get("PrivateIpAddress.1", address.address) != address.address
        if call.action not in MOVES[address.kind] or trial:
            continue
        by_hand = call.source not in own
        if not by_hand:
            first = call.at if first is None else first
            asked = call.at if asked is None else asked
        if call.status != 200:
            continue
        id_ = given.get("InstanceId") or given.get("NetworkInterfaceId") or ""
        to = names.get(id_, id_)
        done = call.at + call.seconds
        if not found or found[-1].to != to:
            since = call.at if by_hand or asked is None else asked
            found.append(Move(done, to, done - since, by_hand))
        asked = asked if by_hand else None
    return found, first


def served(report: Report, injected: float) -> list[float]:
    """The share of clients that are served, from before the injection until after it.

    Nothing is said about what was after the load had ended.
    """
    start = injected - BEFORE
    end = min(injected + AFTER, report.ended)
    bins = max(0, int((end - start) / BIN))
    missed = [0] * bins
    shortest = max(SHORTEST_GAP, 3 * report.usual_pause)
    for client in report.clients:
        for gap in client.gaps(report.started, report.ended, shortest):
            from_ = max(0, round((gap.start - start) / BIN))
            for number in range(from_, min(bins, round((gap.end - start) / BIN))):
                missed[number] += 1
    return [round(1 - count / len(report.clients), 3) for count in missed]


def problems(outcome: Outcome, expected: Expected) -> list[str]:
    """What is worse than expected."""
    found = []
    if expected.outage is not None and outcome.longest >= expected.outage:
        found.append(
            f"a client waited {outcome.longest:.2f} s, longer than {expected.outage:g}"
        )
    if expected.restored is not None:
        if outcome.restored is None:
            found.append("not every client was served again")
        elif outcome.restored > expected.restored:
            found.append(
                f"served again only {outcome.restored:.1f} s after the cause was gone, "
                f"not within {expected.restored:g}"
            )
        elif outcome.again >= AGAIN:
            found.append(
                f"a client waited {outcome.again:.2f} s once all were served again"
            )
    if outcome.lost:
        found.append(f"{outcome.lost} acknowledged messages are not in the database")
    if not outcome.acknowledged:
        found.append("no message was acknowledged at all")
    if trouble := _wrong_moves(outcome.moves, expected.moves):
        found.append(trouble)
    return found


def _wrong_moves(found: Sequence[Move], expected: Moves) -> str:
    fits = {
        Moves.NONE: len(found) == 0,
        Moves.AWAY: len(found) == 1,
        Moves.AWAY_AND_BACK: len(found) == 2,
        Moves.ANY: True,
    }[expected]
    if fits:
        return ""
    went = " → ".join(move.to for move in found) or "nowhere"
    return f"the address moved {went}; expected: {expected}"


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """An outcome for a file of JSON."""
    return asdict(outcome)


def from_dict(item: dict[str, Any]) -> Outcome:
    """The outcome that ``to_dict`` made this of."""
    return Outcome(
        **{
            **item,
            "times": Times(**item["times"]),
            "moves": [Move(**move) for move in item["moves"]],
            "masters": [(at, who) for at, who in item["masters"]],
        }
    )
