"""Many nodes that deploy to themselves in one account and region, against AWS's limits.

``python -m bench.fleet [NODES …]`` simulates an hour of their turns, with the code that
decides in a node whether it is time for a run, and prints what they ask of AWS.
"""

import heapq
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from portway.agent.memory import Memory
from portway.model.settings import Settings

LOOK = ("ec2:DescribeInstances", "ssm:GetParameter")
RUN = {
    "cloudformation:DescribeStacks": 1,
    "cloudformation:DescribeStackEvents": 1,
    "ec2:DescribeInstances": 2,
    "ec2:DescribeAddresses": 2,
    "autoscaling:DescribeAutoScalingGroups": 1,
    "ssm:GetParameter": 1,
}
"""Calls of a run that changes nothing, besides the look before it, as the lab's AWS
counts them."""
RUN_SECONDS = 5.0
ATTEMPTS = 4
"""How often a run makes a call that is throttled."""
LIMITS = {"ec2:DescribeInstances": (100, 20), "ssm:GetParameter": (40, 40)}
"""What AWS publishes for an account and region: the size of the bucket, and what comes
back each second."""
BOOT = 30.0
HOUR = 3600.0


@dataclass
class Bucket:
    """What is left of a limit."""

    size: float
    rate: float
    left: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.size

    def take(self, now: float) -> bool:
        """Whether a call is answered."""
        # A call that is made again is looked at before others that come sooner.
        self.left = min(self.size, self.left + max(0.0, now - self.at) * self.rate)
        self.at = max(self.at, now)
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Aws:
    """AWS, which throttles, is silent for a while, and has a release published once."""

    published_at: float
    silent: tuple[float, float]
    buckets: dict[str, Bucket] = field(
        default_factory=lambda: {name: Bucket(*limit) for name, limit in LIMITS.items()}
    )
    calls: Counter[tuple[str, int]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def answers(self, name: str, now: float) -> bool:
        """Make a call."""
        self.calls[name, int(now)] += 1
        if self.silent[0] <= now < self.silent[1]:
            return False
        bucket = self.buckets.get(name)
        if bucket is None or bucket.take(now):
            return True
        self.refused[name] += 1
        return False

    def world(self, now: float) -> str:
        """What a look sees."""
        return "after" if now >= self.published_at else "before"


@dataclass
class Fleet:
    """Nodes that were all launched in the same second."""

    nodes: int
    aws: Aws
    look: float
    interval: float
    lot: random.Random
    runs: int = 0
    failed: list[float] = field(default_factory=list)
    """When runs failed."""
    has_it: list[float] = field(default_factory=list)
    """When each node has run what was published."""

    def live(self, until: float) -> None:
        """Let them take their turns."""
        memories = [Memory() for _ in range(self.nodes)]
        turns = [(BOOT + self.spread(), node) for node in range(self.nodes)]
        heapq.heapify(turns)
        while turns[0][0] < until:
            now, node = heapq.heappop(turns)
            memories[node], took = self.turn(memories[node], now)
            heapq.heappush(turns, (now + took + self.look + self.spread(), node))

    def spread(self) -> float:
        """The timer's random delay."""
        return self.lot.uniform(0, self.look / 3)

    def turn(self, memory: Memory, now: float) -> tuple[Memory, float]:
        """What a node remembers after a turn, and how many seconds that took."""
        is_due = memory.is_due(now, self.interval)
        if not is_due:
            if not self.looks(now):
                return memory, 1.0
            if self.aws.world(now) == memory.seen:
                return memory, 0.2
        return self.run(memory, now, was_early=not is_due), RUN_SECONDS

    def looks(self, now: float) -> bool:
        """Whether AWS answers a look."""
        answers = [self.aws.answers(name, now) for name in LOOK]
        return all(answers)

    def run(self, memory: Memory, now: float, *, was_early: bool) -> Memory:
        """What a node remembers after a run."""
        seen = self.aws.world(now) if self.looks(now) else memory.seen
        calls = [name for name, count in RUN.items() for _ in range(count)]
        succeeds = all(self.is_answered(name, now) for name in calls)
        ended = now + RUN_SECONDS
        self.runs += 1
        found = replace(memory, ran=ended, seen=seen, was_early=was_early)
        if not succeeds:
            self.failed.append(now)
            return replace(found, failures=memory.failures + 1)
        if self.aws.world(now) == "after" and memory.served != "after":
            self.has_it.append(ended)
        return replace(found, failures=0, succeeded=ended, served=self.aws.world(now))

    def is_answered(self, name: str, now: float) -> bool:
        """Whether a call of a run is answered; boto3 makes one again that is not."""
        for attempt in range(ATTEMPTS):
            if self.aws.answers(name, now):
                return True
            now += self.lot.uniform(0, 2.0**attempt)
        return False


def rows(nodes: int, look: float, interval: float, seed: int = 1) -> Iterator[str]:
    """What a fleet asks in an hour in which a release is published and AWS fails."""
    published, silent = 2 * HOUR, (2.5 * HOUR, 2.5 * HOUR + 600)
    aws = Aws(published, silent)
    fleet = Fleet(nodes, aws, look, interval, random.Random(seed))  # noqa: S311 - a lot
    fleet.live(4 * HOUR)
    usual = range(int(HOUR), int(2 * HOUR))
    after = range(int(silent[1]), int(4 * HOUR))
    yield f"{nodes:,}"
    yield f"{look:g} s"
    for name in LOOK:
        seconds = [aws.calls[name, second] for second in usual]
        yield f"{sum(seconds) / len(seconds):.1f} / {max(seconds)}"
    yield f"{max(aws.calls[LOOK[0], second] for second in after)}"
    yield f"{sum(aws.refused.values()):,}"
    yield f"{len(fleet.failed):,} of {fleet.runs:,}"
    times = sorted(at - published for at in fleet.has_it)
    has_half, have_all = len(times) >= nodes / 2, len(times) == nodes
    half = f"{times[nodes // 2 - 1]:.0f}" if has_half else "never"
    yield f"{half} / {times[-1]:.0f} s" if have_all else f"{half} / never"


HEADER = (
    "nodes",
    "look every",
    "`DescribeInstances` a second: mean / most",
    "`GetParameter`: mean / most",
    "most `DescribeInstances` a second after AWS was silent for 10 minutes",
    "calls refused",
    "runs failed",
    "released until half / all have it",
)


def main(*nodes: int) -> None:
    """Print a table."""
    fields = Settings.model_fields
    look = float(fields["agent_look_interval"].default)
    interval = float(fields["agent_interval"].default)
    print(f"| {' | '.join(HEADER)} |\n|{' ---: |' * len(HEADER)}")
    for count in nodes or (10, 100, 1_000, 10_000):
        for seconds in (look, 10 * look) if count >= 1_000 else (look,):
            print(f"| {' | '.join(rows(count, seconds, interval))} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
