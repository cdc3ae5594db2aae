"""Nodes deploy to themselves by a timer, from the release that is published."""

import json
import time
from functools import partial

import pytest

from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from portway.run.checkout import project_version as version
from tests.lab.deploys.agents import (
    CURRENT,
    HAPROXY,
    OFTEN,
    PORTS,
    TIMER,
    UNIT,
    Agents,
    Timers,
    agents,
    built,
    calls_from,
    config,
    first_boot,
    original,
    timers,
)
from tests.lab.deploys.membership import lose
from tests.lab.system import System, changes, output, shown, wait_until

__all__ = ["agents", "built", "first_boot", "original", "timers"]


def test_timers_run_the_release_that_is_published(timers: Timers) -> None:
    """The first time, at once."""
    system, name = timers.system, timers.good.file.name.removesuffix(".tar")
    for node in ("lb-1", "lb-2"):
        wait_until(partial(timers.has_served, node, name), 120, f"a run on {node}")
        told = timers.status(node)
        assert (told["release"], told["failures"]) == (name, 0)
        assert system.execute(node, f"{CURRENT}/bin/portway", "--version") == (
            f"{version()}\n"
        )
    again = system.deploy("-y", *OFTEN, what="agent")
    assert changes(again) == 0, output(again)
    standby = system.standby
    system.node(standby, f"systemctl stop {TIMER}")
    others = ("--data", "agent_interval=1500", "--data", "agent_look_interval=31")
    assert changes(system.deploy("-y", *others, what="agent")) == 8
    show = ("systemctl", "show", "--property=ExecStart", UNIT)
    for node in ("lb-1", "lb-2"):
        assert "--every 1500 " in system.execute(node, *show)
        timer = system.execute(node, "systemctl", "cat", TIMER)
        assert "OnUnitInactiveSec=31s" in timer
        assert system.execute(node, "systemctl", "is-active", TIMER) == "active\n"


def test_what_is_published_is_deployed_by_the_timers(timers: Timers) -> None:
    """Nobody does anything, and no run is due: each looks at AWS, and sees it."""
    system, began = timers.system, time.time()
    holder, standby = system.holder, system.standby
    good, other = (
        b.file.name.removesuffix(".tar") for b in (timers.good, timers.other)
    )
    with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
        load.wait_until_served()
        timers.publish(timers.other)
        for node in (standby, holder):
            wait_until(partial(timers.has_served, node, other), 150, f"it on {node}")
            assert "timeout client 7100s" in config(system, node)
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    loaded = [system.execute(n, "stat", "-c", "%Y", HAPROXY) for n in (standby, holder)]
    assert began < float(loaded[0]) <= float(loaded[1]), "the standby first"
    assert system.masters() == [system.holder] == [holder]

    for node in (standby, holder):
        timers.look(node)
        since = time.time()
        timers.look(node)
        assert calls_from(system, node, since) == ["GetParameter", "DescribeInstances"]
        print(f"{node}: a look that found nothing took {timers.seconds(node):.3f} s")
        assert timers.seconds(node) < 0.3, "a tenth where nothing else runs"

    timers.publish(timers.good)
    for node in (standby, holder):
        timers.turn(node)
        assert timers.has_served(node, good)


def test_release_that_does_not_serve_gives_way_to_the_one_before(
    agents: Agents, timers: Timers
) -> None:
    """Nobody does anything; meanwhile, the holder is suspended, and says why."""
    system = timers.system
    holder, standby = system.holder, system.standby
    before = {node: config(system, node) for node in (holder, standby)}
    suspended = timers.agent(holder, "suspend", "--reason", "kernel tests")
    assert suspended.returncode == 0, shown(suspended)
    timers.publish(timers.bad)
    good, bad = (b.file.name.removesuffix(".tar") for b in (timers.good, timers.bad))
    with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
        load.wait_until_served()
        said = timers.turn(standby)
        assert f"taking {bad}" in said
        assert "backends without a healthy server" in said
        assert f"this node goes back to {good}" in said
        assert agents.told()[standby].startswith("serves ")

        assert "suspended by root since" in timers.look(holder)
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    assert {node: config(system, node) for node in (holder, standby)} == before
    assert system.masters() == [system.holder] == [holder]

    told = timers.agent(standby, "status")
    assert told.returncode == 2, shown(told)
    assert f"{bad}: this node did not serve with it; tried again once" in told.stdout
    assert timers.agent(holder, "status").returncode == 2
    timers.publish(timers.good)
    for node in (holder, standby):
        timers.turn(node)
        assert timers.agent(node, "status").returncode == 0
        assert timers.status(node)["release"] == good


@pytest.mark.long
def test_pair_is_whole_again_though_nobody_does_anything(
    timers: Timers, first_boot: System
) -> None:
    """AWS terminates each in turn, whichever holds the address then."""
    system = first_boot

    def is_whole(other: str) -> bool:
        return system.masters() == [system.holder] == [other] and all(
            timers.agent(node, "status").returncode == 0
            and system.node(node, "systemctl is-active keepalived", False).stdout
            == "active\n"
            for node in ("lb-1", "lb-2")
        )

    for _ in range(2):
        lost, other = system.holder, system.standby
        with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
            load.wait_until_served()
            began = time.monotonic()
            lose(system, lost, deploys_to_itself=True)
            left = 180 - (time.monotonic() - began)
            wait_until(partial(is_whole, other), left, "a pair within three minutes")
            took = time.monotonic() - began
            print(f"{lost}: whole {took:.0f} s after it was terminated")
            load.wait_until_served(time.time())
            report = load.stop()
        assert missing(Lab(system.name), report) == set()
        found = json.loads(system.drift("--no-template", what="lb").stdout)
        assert found["findings"] == [], found
