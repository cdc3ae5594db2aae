"""When a fault of HAProxy counts, and when its end does."""

import pytest

from portway.contract.check import CheckConfig
from portway.node.check.haproxy import SERVES, STEP, Fault, Finding
from portway.node.check.judge import SLOWLY, USUALLY, WITHIN, Judge

CONFIG = CheckConfig(
    address="203.0.113.9",
    stats_frontend="stats",
    good=0,
    bad=-20,
    outage=3.0,
    rise=4.0,
)
GONE, ENDING, SILENT, CLOSED, NO_SERVER = (
    Finding(fault, fault.value) for fault in Fault
)


def looks_until_it_counts(judge: Judge, found: Finding, *, is_master: bool) -> int:
    for number in range(1, 100):
        if judge.hear(found, is_master=is_master, now=0.0):
            return number
    raise AssertionError("it never counts")


@pytest.mark.parametrize(
    ("found", "looks"),
    [
        (GONE, 1 + round(CONFIG.fall / STEP)),
        (ENDING, 1 + round(CONFIG.reload / STEP)),
        (SILENT, 1),
        (CLOSED, 1),
        (NO_SERVER, 1 + round(CONFIG.outage / SLOWLY)),
    ],
)
def test_fault_counts_after_so_many_looks_however_long_they_take(
    found: Finding, looks: int
) -> None:
    """The clock stands still: a host that stalls must not find a fault in that."""
    judge = Judge(CONFIG, before=True)
    assert looks_until_it_counts(judge, found, is_master=True) == looks
    assert judge.good is False
    assert judge.reason == found.reason


def test_fault_that_goes_away_in_time_does_not_count() -> None:
    judge = Judge(CONFIG, before=True)
    for _ in range(20):
        for _ in range(round(CONFIG.fall / STEP)):
            assert not judge.hear(GONE, is_master=True, now=0.0)
        for _ in range(round(WITHIN / 3 / USUALLY)):
            assert not judge.hear(SERVES, is_master=True, now=0.0)


@pytest.mark.parametrize("good", [1, 5])
def test_haproxy_that_crashes_again_and_again_counts_as_failed(good: int) -> None:
    judge = Judge(CONFIG, before=True)
    for _ in range(20):
        for _ in range(round(CONFIG.fall / STEP) - 1):
            judge.hear(GONE, is_master=True, now=0.0)
        if judge.good is False:
            return
        for _ in range(good):
            assert not judge.hear(SERVES, is_master=True, now=0.0)
    raise AssertionError("it never counted")


def test_master_that_serves_again_counts_at_once_and_a_backup_after_a_while() -> None:
    master, backup = (Judge(CONFIG, before=False) for _ in range(2))
    assert master.hear(SERVES, is_master=True, now=0.0)
    assert not backup.hear(SERVES, is_master=False, now=0.0)
    assert not backup.hear(SERVES, is_master=False, now=CONFIG.rise - 0.1)
    assert backup.hear(SERVES, is_master=False, now=CONFIG.rise)


def test_backup_that_fails_meanwhile_begins_again() -> None:
    backup = Judge(CONFIG, before=False)
    backup.hear(SERVES, is_master=False, now=0.0)
    backup.hear(GONE, is_master=False, now=1.0)
    assert not backup.hear(SERVES, is_master=False, now=CONFIG.rise)


@pytest.mark.parametrize("found", [SERVES, GONE, NO_SERVER])
def test_first_look_after_a_boot_counts(found: Finding) -> None:
    judge = Judge(CONFIG, before=None)
    assert judge.hear(found, is_master=False, now=0.0)
    assert judge.good is (found is SERVES)


def test_restart_of_the_check_changes_nothing_by_itself() -> None:
    assert not Judge(CONFIG, before=True).hear(SERVES, is_master=True, now=0.0)
    assert not Judge(CONFIG, before=True).hear(GONE, is_master=True, now=0.0)
    assert not Judge(CONFIG, before=False).hear(GONE, is_master=True, now=0.0)


@pytest.mark.parametrize(
    ("found", "releases"),
    [(GONE, True), (SILENT, True), (CLOSED, True), (NO_SERVER, False)],
)
def test_master_gives_up_at_once_unless_its_peer_may_lack_servers_too(
    found: Finding, releases: bool
) -> None:
    judge = Judge(CONFIG, before=None)
    judge.hear(found, is_master=True, now=0.0)
    assert judge.releases is releases
