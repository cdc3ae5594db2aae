"""What must not move the address, and how long what must takes, by VRRP's timing.

``python -m lab starve`` changes the timing on the load balancers themselves, because a
deploy for each would take longer than what is measured; a deploy at the end mends it.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.failover import runner
from lab.failover.command import chosen
from lab.failover.outcome import moves, worst
from lab.failover.world import World, deploy, must
from lab.faults import cpu
from lab.faults import interface as faults
from lab.ground import shell
from lab.machines import hosts

LASTS = 20.0
"""Seconds for which a host is starved or asked."""
AFTERWARDS = 1.5
"""Seconds after a fault in which it may still move the address: less than the master
of record waits before it takes it back."""
CLIENTS = 10_000
ASKERS = 2
SCENARIOS = ("haproxy-stopped", "haproxy-hung", "host-frozen")
"""Single failures, whose outage is measured."""

HAPROXY = Path("/etc/haproxy/haproxy.cfg")
KEEPALIVED = "/etc/keepalived/keepalived.conf"
CHECK = "/etc/portway/check.json"


@dataclass(frozen=True, slots=True)
class Timing:
    """What is varied."""

    advert: float
    fall: float
    rise: float
    patience: float


@dataclass(frozen=True, slots=True)
class Trial:
    """Something that a load balancer must bear."""

    name: str
    bear: Callable[[World], None]
    allowed: int = 0
    """How often it may move the address."""


def sleeping(world: World) -> None:
    """Nothing happens."""
    world.hold(LASTS)


def starved(role: str, percent: float) -> Callable[[World], None]:
    """A host that gets so much of one CPU."""

    def bear(world: World) -> None:
        with cpu.share(world.lab, getattr(world, role), percent):
            world.hold(LASTS)

    return bear


def stalled(role: str, seconds: float, times: int) -> Callable[[World], None]:
    """A host that stops where it is for a moment."""

    def bear(world: World) -> None:
        for _ in range(times):
            faults.stall(world.lab, getattr(world, role), seconds)
            world.hold(AFTERWARDS)

    return bear


def reloaded(world: World) -> None:
    """HAProxy of the master loads 10,000 clients, and again."""
    with many_clients(world):
        for _ in range(3):
            _on(world, world.master, "systemctl reload haproxy")
            world.hold(4)


def asked(world: World) -> None:
    """Somebody asks HAProxy of the master for all there is, again and again."""
    ask = (
        f"end=$(($(date +%s) + {LASTS:.0f})); while [ $(date +%s) -lt $end ]; do "
        "echo 'show stat' | socat -t9 - UNIX-CONNECT:/run/haproxy/admin.sock "
        ">/dev/null; done"
    )
    with many_clients(world):
        host = world.pair.hosts[world.master]
        words = list(map(str, hosts.inside(world.lab, host, ["sh", "-c", ask])))
        askers = [subprocess.Popen(words) for _ in range(ASKERS)]  # noqa: S603
        for asker in askers:
            asker.wait()


@contextmanager
def many_clients(world: World) -> Iterator[None]:
    """HAProxy of the master with 10,000 more clients, on addresses of its own."""
    path = hosts.root(world.lab, world.pair.hosts[world.master]) / str(HAPROXY)[1:]
    before = path.read_text()
    # The lab's machine may not have more descriptors.
    text = re.sub(r"(?m)^    maxconn .*", "    maxconn 2000", before, count=1)
    (backend,) = re.findall(r"(?m)^backend (tcp_leastconn)$", before)
    text += "".join(
        f"\nfrontend many-{n}\n    mode tcp\n    bind 127.1.0.{1 + n // 5000}:"
        f"{20_000 + n % 5000}\n    default_backend {backend}\n"
        for n in range(CLIENTS)
    )
    try:
        path.write_text(text)
        _on(world, world.master, "systemctl reload haproxy")
        world.hold(4)
        yield
    finally:
        path.write_text(before)
        _on(world, world.master, "systemctl reload haproxy")
        world.hold(2)


TRIALS = (
    Trial("nothing", sleeping),
    Trial("master has 10 % of a CPU", starved("master", 10)),
    Trial("master has 5 % of a CPU", starved("master", 5)),
    Trial("backup has 5 % of a CPU", starved("backup", 5)),
    Trial("master stalls for 0.6 s, 5 times", stalled("master", 0.6, 5)),
    Trial("backup stalls for 2 s", stalled("backup", 2.0, 1)),
    Trial("master stalls for 2 s", stalled("master", 2.0, 1), allowed=1),
    Trial(f"HAProxy reloads {CLIENTS:,} clients, 5 times", reloaded),
    Trial(f"{ASKERS} others ask `show stat` of {CLIENTS:,} clients", asked),
)


def run(
    world_of: Callable[[], World],
    timings: Sequence[Timing],
    times: int,
    scenarios: Sequence[str] = SCENARIOS,
) -> str:
    """A table: a row for each trial and each single failure, a column for each timing.

    In it is how often a trial moved the address in each round, or a failure's outage:
    minimum, median and maximum over rounds.
    """
    rows: dict[str, list[str]] = {}
    world = world_of()
    try:
        for timing in timings:
            _apply(world, timing)
            for name, cell in _measured(world_of, times, scenarios):
                rows.setdefault(name, []).append(cell)
                print(f"{timing}: {name}: {cell}", flush=True)
    finally:
        must(deploy(world.lab, "lb"), "the run of deploys/lb.py")
    return _table(timings, rows)


def _measured(
    world_of: Callable[[], World], times: int, scenarios: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for scenario in chosen(scenarios, world_of().kind) if scenarios else ():
        found = worst([runner.run(world_of().lab, scenario) for _ in range(times)])
        yield scenario.name, " / ".join(f"{s:.2f}" for s in found.over_runs)
    for trial in TRIALS:
        counts = [_moved(world_of(), trial) for _ in range(times)]
        wrong = any(count > trial.allowed for count in counts)
        cell = " ".join(map(str, counts))
        yield trial.name, f"**{cell}**" if wrong else cell


def _moved(world: World, trial: Trial) -> int:
    """How often a trial moves the address."""
    began = time.time()
    trial.bear(world)
    world.hold(AFTERWARDS)
    found, _ = moves(
        faults.calls(world.lab, began), world.pair.address, world.pair.hosts
    )
    return len(found)


def _apply(world: World, timing: Timing) -> None:
    keys = {"fall": timing.fall, "rise": timing.rise, "patience": timing.patience}
    edits = " ".join(f'-e \'s/"{k}": .*,/"{k}": {v},/\'' for k, v in keys.items())
    for node in world.pair.hosts:
        _on(
            world,
            node,
            f"sed -i 's/advert_int .*/advert_int {timing.advert}/' {KEEPALIVED} && "
            f"sed -i {edits} {CHECK} && systemctl restart portway-check && "
            "systemctl reload keepalived",
        )
    world.hold(3)


def _on(world: World, node: str, script: str) -> None:
    host = world.pair.hosts[node]
    shell.output(hosts.inside(world.lab, host, ["sh", "-c", script]))


def _table(timings: Sequence[Timing], rows: dict[str, list[str]]) -> str:
    heads = [f"{t.advert:g} / {t.fall:g} / {t.patience:g}" for t in timings]
    lines = [
        f"| advert / fall / patience | {' | '.join(heads)} |",
        f"| --- |{' ---: |' * len(heads)}",
        *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()),
    ]
    return "\n".join(lines)


def timings(
    adverts: Sequence[float],
    falls: Sequence[float],
    patiences: Sequence[float],
    rise: float,
) -> list[Timing]:
    """Every combination; LabError if there is none."""
    found = [
        Timing(advert, fall, rise, patience)
        for advert in adverts
        for fall in falls
        for patience in patiences
    ]
    if not found:
        raise LabError("there is nothing to vary")
    return found
