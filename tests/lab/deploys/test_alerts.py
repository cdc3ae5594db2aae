"""Every alert fires when something breaks, and ends when it is mended.

What is broken is broken in rounds, as much in each as disturbs no other. Prometheus
remembers what fired; the tests ask it.
"""

import re
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from lab.faults import interface as faults
from tests.lab.deploys.alert_faults import (
    DRIFT,
    Fault,
    World,
    agents_in_trouble,
    applications_stopped,
    clients_that_nobody_serves,
    journal_that_hangs,
    keeper_stopped_and_drift_found,
    look,
    many_reloads,
    one_agent,
    pair_apart,
    pair_without_a_master,
    standby_without_rights,
)
from tests.lab.deploys.prometheus import (
    FOLDER,
    Prometheus,
    exporters,
    faster,
    prometheus,
)
from tests.lab.system import System, wait_until

RULES = (FOLDER / "alerts.yaml").read_text()
NAMES = re.findall(r"- alert: (\w+)", RULES)
UNPROVOKED = {
    "PortwayDriftNotLookedFor": "it takes two days in which nobody looks",
}
"""Alerts that nothing provokes within seconds, each with the reason."""


@dataclass(frozen=True)
class Round:
    """What is broken at once, and the labels of what fires then."""

    breaks: tuple[Fault, ...]
    fires: Mapping[str, Mapping[str, str]]


ROUNDS = (
    Round(
        (
            many_reloads,
            standby_without_rights,
            clients_that_nobody_serves,
            keeper_stopped_and_drift_found,
            journal_that_hangs,
            agents_in_trouble,
        ),
        {
            "PortwayLogLinesLost": {"instance": "holder haproxy"},
            "PortwayStandbyCannotTakeAddress": {"instance": "standby node"},
            "PortwayEc2Silent": {"instance": "standby node"},
            "PortwayConnectionsRefused": {
                "instance": "holder haproxy",
                "proxy": "tcp_leastconn",
            },
            "PortwayClientUnanswered": {
                "instance": "holder haproxy",
                "proxy": "client_one",
            },
            "PortwayManyReloads": {"instance": "standby node"},
            "PortwayOlderProcesses": {"instance": "standby node"},
            "PortwayProgramSilent": {"instance": "holder node"},
            "PortwayDrift": {},
            "PortwayAgentFails": {"instance": "standby node"},
            "PortwayAgentRefuses": {"instance": "standby node"},
            "PortwayAgentsDiffer": {},
            "PortwayAgentBlind": {"instance": "standby node"},
            "PortwayAgentSilent": {"instance": "holder node"},
            "PortwayAgentSuspended": {"instance": "standby node"},
        },
    ),
    Round(
        (applications_stopped, pair_without_a_master),
        {
            "PortwayNoServer": {"instance": "holder haproxy", "proxy": "tcp_leastconn"},
            "PortwayNoMaster": {},
            "PortwayLoadBalancerAway": {},
        },
    ),
    Round(
        (pair_apart, one_agent),
        {
            "PortwayAgentMissing": {},
            "PortwayBothMaster": {},
            "PortwayAddressDisagrees": {"instance": "holder node"},
            "PortwayHandedOver": {"instance": "holder node"},
        },
    ),
)
EXPECTED = {name: labels for each in ROUNDS for name, labels in each.fires.items()}


@dataclass(frozen=True)
class Seen:
    """What Prometheus saw."""

    world: World
    at_first: list[dict[str, str]]
    """What fired while all was well."""
    fired: list[dict[str, str]]
    at_last: list[dict[str, str]]

    def labels(self, name: str) -> dict[str, str]:
        """Those that an alert should have, besides its name."""
        words = self.world.words
        labels = {k: words.get(v, v) for k, v in EXPECTED[name].items()}
        return labels | {"stack": words["stack"]}


@pytest.fixture(scope="module")
def seen(site: System, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Everything was broken and mended, round by round."""
    world = World(site, site.holder, site.standby)
    folder = tmp_path_factory.mktemp("prometheus")
    with exporters(site), prometheus(site, folder) as server:
        try:
            return watched(world, server)
        finally:
            faults.heal(world.lab)


def watched(world: World, server: Prometheus) -> Seen:
    """What Prometheus sees of all rounds."""
    time.sleep(5)  # longer than most rules wait
    at_first = server.firing()
    began = time.time()
    for each in ROUNDS:
        play(world, server, each)
    # A node that came back is not where it was at once.
    try:
        wait_until(lambda: not look(world), 60, "there is no drift")
    except AssertionError as error:
        error.add_note(world.system.drift(what="lb").stdout)
        raise
    with suppress(AssertionError):  # the tests tell which goes on
        wait_until(lambda: not server.firing(), 40, "no alert fires")
    world.system.node(world.holder, f"rm {DRIFT}")
    return Seen(world, at_first, server.fired(began), server.firing())


def play(world: World, server: Prometheus, each: Round) -> None:
    """Break things until all that should has fired, or for so long, and mend them."""
    began = time.monotonic()

    fired: set[str] = set()

    def all_have_fired() -> bool:
        now = {found["alertname"] for found in server.firing()} - fired
        fired.update(now)
        for name in sorted(now):
            print(f"{time.monotonic() - began:5.1f} s: {name}")
        return fired >= each.fires.keys()

    with ExitStack() as stack:
        for fault in each.breaks:
            stack.enter_context(fault(world))
            print(f"{time.monotonic() - began:5.1f} s: {fault.__name__}")
        with suppress(AssertionError):  # the tests tell what is missing
            wait_until(all_have_fired, 60, "all alerts of the round")
    wait_until(world.is_settled, 40, "the address is back")
    print(f"{time.monotonic() - began:5.1f} s: mended")


def test_intact_system_has_no_alert(seen: Seen) -> None:
    assert seen.at_first == []


@pytest.mark.parametrize("name", EXPECTED)
def test_alert_fires_when_something_breaks_and_ends_when_it_is_mended(
    seen: Seen, name: str
) -> None:
    fired = [found for found in seen.fired if found["alertname"] == name]
    wanted = seen.labels(name)
    assert any(wanted.items() <= found.items() for found in fired), fired
    assert [found for found in seen.at_last if found["alertname"] == name] == []


def test_every_alert_is_provoked_or_says_why_not() -> None:
    assert sorted([*EXPECTED, *UNPROVOKED]) == sorted(NAMES)


def test_only_durations_are_changed_for_the_lab() -> None:
    duration = re.compile(r"(?<=\[)\w+(?=\])|(?<=for: )\w+|(?<=uptime_seconds > )\d+")
    assert duration.sub("", faster(RULES)) == duration.sub("", RULES)
    assert len(duration.findall(RULES)) > len(NAMES)
