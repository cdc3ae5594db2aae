"""keepalived's check is in force, and the address moves for a reason only."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.failover.pair import MOVES
from lab.faults import interface as faults
from lab.plan.names import Lab
from tests.lab.deploys.interfaces import renamed_interface, without_address
from tests.lab.system import System, output, shown, wait_until

SHORT = ("-y", "--data", "verify_timeout=6")
BACK = 20
"""Seconds in which the master of record has the address again, with the lab's
``fail_back``."""


@pytest.fixture
def healed(settled: System) -> Iterator[System]:
    """The lab, in which every fault is healed and the address is back afterwards."""
    yield settled
    faults.heal(Lab(settled.name))
    settled.deploy()
    wait_until(lambda: at(settled, "lb-1"), BACK, "the address is back")


def at(system: System, node: str) -> bool:
    return system.masters() == [node] == [system.holder]


@contextmanager
def counting_moves(system: System) -> Iterator[list[str]]:
    """The sources of calls that move the address meanwhile, filled in at the end."""
    began, found = time.time(), list[str]()
    yield found
    kind = system.status()["address"]["kind"]
    found += [
        call.source
        for call in faults.calls(Lab(system.name), began)
        if call.action in MOVES[kind] and call.parameters.get("DryRun") != "true"
    ]


def test_haproxy_that_stops_moves_the_address_though_a_group_may_write_to_folders(
    healed: System,
) -> None:
    unsafe = "chgrp staff /usr/local/lib && chmod 2775 /usr/local/lib"
    safe = "chgrp root /usr/local/lib && chmod 755 /usr/local/lib"
    for node in ("lb-2", "lb-1"):
        healed.node(node, f"{unsafe} && systemctl reload keepalived")
    try:
        healed.deploy()
        faults.stop(Lab(healed.name), "lb-1", "haproxy")
        wait_until(lambda: at(healed, "lb-2"), 5, "the address has moved")
    finally:
        for node in ("lb-2", "lb-1"):
            healed.node(node, safe)


def test_run_fails_when_keepalived_has_dropped_its_check(healed: System) -> None:
    healed.node("lb-2", "chgrp staff /usr/bin && chmod g+w /usr/bin")
    healed.node(
        "lb-2", "systemctl restart keepalived && rm -f /run/portway/check/asked"
    )
    said = output(healed.deploy(*SHORT, check=False))
    assert "keepalived on lb-2 does not run its check, because others than root" in said
    _, _, fix = said.partition("may write to /usr/bin: ")
    fix, _, _ = fix.partition(" there")
    healed.node("lb-2", fix)
    healed.deploy(*SHORT)


def test_check_that_dies_is_restarted_and_one_that_hangs_counts_as_failed(
    healed: System,
) -> None:
    lab = Lab(healed.name)
    with counting_moves(healed) as moves:
        faults.kill(lab, "lb-1", "portway-check")
        healed.node("lb-1", "systemctl restart portway-check")
        time.sleep(3)
    assert moves == []
    faults.hang(lab, "lb-1", "portway-check")
    wait_until(lambda: at(healed, "lb-2"), 12, "the address has moved")
    # systemd's watchdog ends it, and the next one looks again.
    wait_until(lambda: at(healed, "lb-1"), BACK, "the address is back")


def test_interface_of_another_name_and_an_address_that_goes_away_are_borne(
    healed: System,
) -> None:
    renamed_interface(healed)
    without_address(healed, "lb-1", 10)
    wait_until(lambda: at(healed, "lb-1"), BACK, "the address is back")


def test_transfers_away_from_both_are_told_and_mended_by_the_command(
    healed: System,
) -> None:
    for node in ("lb-1", "lb-2"):
        healed.node(node, "echo 1 >/etc/portway/transfer")
    said = output(healed.deploy(*SHORT, check=False))
    assert "both lb-2 and lb-1 have handed the address over on purpose" in said
    assert "deploys/transfer.py --data transfer_to=lb-1" in said
    healed.deploy("-y", "--data", "transfer_to=lb-1", what="transfer")
    healed.deploy()


def test_address_that_waits_is_told_and_comes_back_when_asked(healed: System) -> None:
    lab = Lab(healed.name)
    later = ("-y", "--data", "fail_back=600")
    healed.deploy(*later)
    faults.stop(lab, "lb-1", "haproxy")
    wait_until(lambda: at(healed, "lb-2"), 5, "the address has moved")
    faults.start(lab, "lb-1", "haproxy")
    said = output(healed.deploy(*later))
    assert (
        "lb-2 has held the address since a fail-over; lb-1 has been serving again for"
        in said
    )
    assert at(healed, "lb-2")
    target = ("--data", "transfer_to=lb-1")
    healed.deploy(*later, *target, what="transfer")
    assert at(healed, "lb-1")


def test_check_that_no_application_node_passes_gets_no_further_than_the_standby(
    healed: System,
) -> None:
    """HAProxy's new process knows from the old one that they were healthy."""
    before = healed.execute("lb-1", "cat", "/etc/haproxy/haproxy.cfg")
    stopped = healed.deploy(*SHORT, "--data", "health_path=/nowhere", check=False)
    assert stopped.returncode == 1, shown(stopped)
    assert "lb-2 does not serve every client" in output(stopped)
    assert "backends without a healthy server" in output(stopped)
    assert healed.execute("lb-1", "cat", "/etc/haproxy/haproxy.cfg") == before
