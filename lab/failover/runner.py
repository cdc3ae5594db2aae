"""Runs one scenario: settled, clients, the fault, its end, settled again, the count."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from lab.errors import LabError
from lab.failover import outcome
from lab.failover.outcome import BEFORE, Moves, Outcome, Times
from lab.failover.pair import Pair
from lab.failover.scenario import Scenario
from lab.failover.world import World
from lab.faults import interface as faults
from lab.plan.names import Lab
from lab.traffic.load import Load, missing, tcp_ports

CLIENTS = 20
PATIENCE = 0.25
"""Seconds that a client waits for an acknowledgement before it sends again.

One that is on its way when the address moves is lost, and only this tells the client.
An outage is measured in whole waits, so they are a small part of the bound.
"""
CONNECTS_WITHIN, RETRY = 0.1, 0.05
"""Seconds: a packet of a connection that is lost says nothing either."""

SETTLE_SECONDS = 30.0
SERVED_SECONDS = 30.0
"""The longest that anyone waits for every client to be served again."""
AFTERWARDS = 2.0
"""Seconds for which clients go on when all is well again."""


def run(lab: Lab, scenario: Scenario) -> Outcome:
    """Run one scenario; LabError only if the lab is not fit to begin with."""
    world = settled(lab)
    if scenario.prepare:
        scenario.prepare(world)
        world.until_settled(SETTLE_SECONDS)
    result = _blank(scenario, world.kind)
    address, ports = world.pair.address.address, tcp_ports()
    with Load.start(
        lab,
        address,
        ports,
        CLIENTS,
        acknowledgement_timeout=PATIENCE,
        connect_timeout=CONNECTS_WITHIN,
        retry=RETRY,
    ) as load:
        load.wait_until_served()
        load.wait_until_served(load.report.started + BEFORE)
        with _watching(world.pair, result.masters):
            _go_wrong(world, scenario, load, result)
            _recover(world, scenario, load, result)
        load.stop()
    _count(world, load, result)
    result.problems += outcome.problems(result, scenario.expected)
    return result


def failed(scenario: Scenario, kind: str, why: str) -> Outcome:
    """The outcome of a scenario that could not be run."""
    result = _blank(scenario, kind)
    result.problems.append(why)
    return result


def _blank(scenario: Scenario, kind: str) -> Outcome:
    return Outcome(
        scenario.name,
        scenario.description,
        kind,
        scenario.expected.outage,
        scenario.expected.restored,
        Times(),
    )


def settled(lab: Lab) -> World:
    """The lab once it is settled; who is master by now may differ from last time."""
    pair = Pair(lab)
    world = World(lab, pair, "", "")
    world.until_settled(SETTLE_SECONDS)
    world.master = pair.master_of_record()
    (world.backup,) = set(pair.hosts) - {world.master}
    return world


def _go_wrong(world: World, scenario: Scenario, load: Load, result: Outcome) -> None:
    """The fault, until the system is where the scenario says."""
    away = scenario.expected.moves in (Moves.AWAY, Moves.AWAY_AND_BACK)
    result.times.injected = time.time()
    try:
        scenario.inject(world)
        if scenario.relieve:
            world.hold(scenario.hold)
            result.times.gone = time.time()
            scenario.relieve(world)
        if away:
            world.until_held_by(world.backup)
        if not scenario.relieve:
            world.hold(scenario.hold)
        if scenario.relieve or scenario.expected.outage is not None:
            load.wait_until_served(result.times.gone or time.time(), SERVED_SECONDS)
    except LabError as error:
        result.problems.append(str(error))


def _recover(world: World, scenario: Scenario, load: Load, result: Outcome) -> None:
    """Heal, whatever came before, and wait until all is as it was."""
    times = result.times
    times.healed = time.time()
    times.gone = times.gone or times.healed
    try:
        scenario.heal(world)
    except LabError as error:
        if str(error) not in result.problems:
            result.problems.append(str(error))
    try:
        faults.heal(world.lab)  # what a scenario's own healing has left
        world.until_settled(SETTLE_SECONDS)
        times.settled = time.time()
        load.wait_until_served(times.settled, SERVED_SECONDS)
        world.hold(AFTERWARDS)
    except LabError as error:
        result.problems.append(str(error))


@contextmanager
def _watching(pair: Pair, seen: list[tuple[float, str]]) -> Iterator[None]:
    """Write down who is VRRP master whenever that changes."""
    stop = Event()

    def watch() -> None:
        while not stop.wait(0.2):
            masters = "+".join(pair.masters())
            if not seen or seen[-1][1] != masters:
                seen.append((time.time(), masters))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _count(world: World, load: Load, result: Outcome) -> None:
    """Fill in what the clients, the database and AWS saw."""
    report, times = load.report, result.times
    result.acknowledged, result.resent = len(report.acknowledged), report.resent
    result.outages = report.outages()
    result.served = outcome.served(report, times.injected)
    result.lost = len(missing(world.lab, report))
    since = report.all_served_since(times.gone)
    if since is not None:
        result.restored = since - times.gone
        result.again = report.longest_since(since)
    calls = faults.calls(world.lab, times.injected)
    result.moves, first = outcome.moves(calls, world.pair.address, world.pair.hosts)
    result.detection = None if first is None else first - times.injected
