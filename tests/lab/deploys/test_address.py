"""The address follows VRRP: handed over, refused, restarted, replaced, told of."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.faults import interface as faults
from lab.plan.names import Lab
from tests.lab.system import PROJECT, System, changes, has_changed, output, wait_until

LOAD_BALANCERS = ("lb-1", "lb-2")
REACTION = 0.05
"""Seconds from hearing of the transition to the first call, at the most."""


IDLE = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5):
    print("connected", flush=True)
    time.sleep(120)
"""


@contextmanager
def idle_connection(system: System, port: int) -> Iterator[None]:
    """A connection without a message: one in flight would end it with the move."""
    words = (sys.executable, "-c", IDLE, system.address, str(port))
    process = subprocess.Popen(
        system.command("client", "--", *words),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "connected\n"
        yield
    finally:
        process.terminate()
        process.communicate()


def told(system: System, node: str) -> dict[str, Any]:
    """What the node's own status command says."""
    found: dict[str, Any] = json.loads(
        system.execute(node, "portway-address", "status", "--json")
    )
    return found


def at(system: System, node: str) -> bool:
    """Whether VRRP, AWS and the node itself say that the address is there."""
    return (
        system.masters() == [node] == [system.holder] and told(system, node)["agrees"]
    )


def streams(system: System, node: str) -> int:
    """Clients' connections that a node's kernel still knows, whoever serves them."""
    ports = "sport ge :9001 and sport le :10000"
    lines = system.node(node, f"ss -Htn state established '( {ports} )'").stdout
    return len(lines.splitlines())


def transfer(system: System, *options: str, check: bool = True) -> str:
    result = system.deploy("-y", *options, what="transfer", check=check)
    assert check or result.returncode != 0
    return output(result)


def reboot(system: System, node: str) -> None:
    """Reboot a node and wait until it takes part again."""
    before = system.nodes()[node]["pid"]
    faults.reboot(Lab(system.name), node)
    script = (
        '[ "$(systemctl is-system-running)" = running ] && '
        "grep -q BACKUP /run/portway/address/status.json"
    )

    def is_back() -> bool:
        if system.nodes()[node]["pid"] in (None, before):
            return False
        return system.node(node, script, check=False).returncode == 0

    wait_until(is_back, 40, f"{node} is back")


@pytest.fixture
def healed(settled: System) -> Iterator[System]:
    """The settled lab; every fault of the test is healed when it is over."""
    lab = Lab(settled.name)
    yield settled
    faults.heal(lab)
    if told(settled, "lb-1")["handed_over"]:
        transfer(settled, "--data", "transfer_to=lb-1")
    wait_until(lambda: at(settled, "lb-1"), 30, "the address back at the master")


def test_address_is_at_the_master_and_everyone_says_so(settled: System) -> None:
    assert at(settled, "lb-1")
    standby = told(settled, "lb-2")
    assert (standby["vrrp_state"], standby["refused"]) == ("BACKUP", "")
    words = settled.execute("lb-1", "portway-address", "status")
    assert re.search(r"^lb-1: VRRP MASTER since \d+ s ago$", words, re.MULTILINE)


@pytest.mark.alone
def test_transfer_holds_over_deploys_and_reboots_until_it_is_handed_back(
    healed: System,
) -> None:
    wait_until(lambda: at(healed, "lb-1"), 90, "the address at the master")
    # Fail-overs of other tests left streams there that only keepalives end.
    wait_until(lambda: streams(healed, "lb-1") == 0, 120, "lb-1 has no streams")
    with idle_connection(healed, 9001):
        text = transfer(healed, "--data", "transfer_to=lb-2")
    assert "lb-1 still has 1 stream, which may carry messages for a time" in text, text
    assert at(healed, "lb-2")
    assert told(healed, "lb-2")["reaction"] < REACTION
    again = healed.deploy("-y", "--data", "transfer_to=lb-2", what="transfer")
    assert changes(again) == 0
    assert changes(healed.deploy()) == 0
    look = json.loads(healed.drift(what="lb").stdout)
    handed_over = {"node": "lb-1", "text": "has handed the address over on purpose"}
    assert handed_over in look["states"]
    assert look["findings"] == look["unknown"] == []
    assert told(healed, "lb-1")["handed_over"]
    assert "handed over" in healed.execute("lb-1", "portway-address", "status")
    reboot(healed, "lb-1")
    assert changes(healed.deploy()) == 0
    assert at(healed, "lb-2")
    transfer(healed, "--data", "transfer_to=lb-1")
    assert at(healed, "lb-1")
    assert told(healed, "lb-1")["reaction"] < REACTION


def test_address_comes_back_to_a_node_that_gave_it_away_if_the_other_fails(
    healed: System,
) -> None:
    transfer(healed, "--data", "transfer_to=lb-2")
    faults.stop(Lab(healed.name), "lb-2", "haproxy")
    wait_until(lambda: at(healed, "lb-1"), 15, "the address at lb-1")
    faults.start(Lab(healed.name), "lb-2", "haproxy")
    wait_until(lambda: at(healed, "lb-2"), 15, "the address at lb-2 again")
    transfer(healed, "--data", "transfer_to=lb-1")


def test_move_that_aws_carries_out_late_is_awaited_and_stays(healed: System) -> None:
    """The mover gives up waiting for each call; AWS carries it out all the same."""
    lab, late = Lab(healed.name), 6.0
    faults.aws(lab, "late", 1000 * late, actions=("AssociateAddress",), source="lb-2")
    faults.stop(lab, "lb-1", "haproxy")
    wait_until(lambda: at(healed, "lb-2"), 40, "the address at lb-2")
    faults.heal(lab)
    faults.start(lab, "lb-1", "haproxy")
    until = time.monotonic() + late  # calls for lb-2 may still be on their way
    wait_until(
        lambda: time.monotonic() > until and at(healed, "lb-1"), 30, "it stays at lb-1"
    )


@pytest.mark.parametrize("target", ["", "lb-9", "app-1"])
def test_transfer_to_nobody_is_refused_with_the_choices(
    settled: System, target: str
) -> None:
    options = ("--data", f"transfer_to={target}") if target else ()
    text = transfer(settled, *options, check=False)
    assert "--data transfer_to=lb-1 or --data transfer_to=lb-2" in text
    assert at(settled, "lb-1")


def test_transfer_to_a_node_that_does_not_serve_changes_nothing(
    healed: System,
) -> None:
    faults.stop(Lab(healed.name), "lb-2", "haproxy")
    text = transfer(healed, "--data", "transfer_to=lb-2", check=False)
    assert "lb-2 cannot take the address, which stays where it is" in text
    assert "HAProxy does not answer on its socket" in text
    assert at(healed, "lb-1")
    assert not told(healed, "lb-1")["handed_over"]


def test_client_whose_only_node_is_dead_keeps_the_pair_from_nothing_but_success(
    healed: System, clients_file: Path
) -> None:
    clients = [
        {"client_name": "all", "client_port": 9001},
        {"client_name": "pinned", "client_port": 9002, "nodes": ["app-2"]},
    ]
    clients_file.write_text(json.dumps({"clients": clients}))
    options = ("--data", f"clients_file={clients_file}", "--data", "verify_timeout=8")
    faults.stop(Lab(healed.name), "app-2", "message-app")
    result = healed.deploy("-y", *options, check=False)
    assert result.returncode != 0
    assert "no load balancer finds a healthy server for: " in output(result)
    for node in LOAD_BALANCERS:
        disk, loaded = healed.loaded(node)
        assert disk == loaded
    transfer(healed, *options, "--data", "transfer_to=lb-2")
    assert at(healed, "lb-2")
    assert healed.ask(9001).startswith("app-1")
    faults.heal(Lab(healed.name))
    healed.deploy()


def test_missing_permission_is_named_before_anything_is_switched(
    healed: System,
) -> None:
    faults.aws(Lab(healed.name), "deny", actions=("AssociateAddress",), source="lb-2")
    before = healed.file_states()
    result = healed.deploy("-y", "--data", "hard_stop_after=500", check=False)
    assert result.returncode != 0
    assert re.search(
        r"could not move the address:\s+ec2:AssociateAddress", output(result)
    )
    assert healed.file_states() == before
    faults.heal(Lab(healed.name))
    healed.deploy()


def test_permission_lost_later_fails_the_next_deploy_by_name(healed: System) -> None:
    faults.aws(Lab(healed.name), "deny", actions=("AssociateAddress",), source="lb-2")
    healed.node("lb-2", "systemctl restart portway-address")  # it tries when it starts
    wait_until(lambda: bool(told(healed, "lb-2")["refused"]), 10, "found out")
    result = healed.deploy("-y", "--data", "verify_timeout=5", check=False)
    assert result.returncode != 0
    assert "lb-2 could not take the address: ec2:AssociateAddress" in output(result)


def test_address_that_aws_leads_elsewhere_fails_the_deploy_with_the_reason(
    healed: System,
) -> None:
    lab = Lab(healed.name)
    faults.aws(lab, "throttle", source="lb-2")
    faults.stop(lab, "lb-1", "haproxy")
    wait_until(lambda: healed.masters() == ["lb-2"], 15, "lb-2 master")
    result = healed.deploy(
        "-y", "--limit", "lb-2", "--data", "verify_timeout=5", check=False
    )
    assert result.returncode != 0
    text = output(result)
    assert re.search(r"in AWS [0-9.]+ \(eipalloc-\w+\) points to lb-1, but VRRP", text)
    assert "lb-2 says: ec2:DescribeAddresses: RequestLimitExceeded" in text


def test_folder_that_keepalived_watches_is_seen_to_be_another(healed: System) -> None:
    healed.node("lb-1", "rm -r /etc/portway")
    text = output(healed.deploy())
    assert has_changed(text, "Run keepalived"), text
    assert changes(healed.deploy()) == 0
    transfer(healed, "--data", "transfer_to=lb-2")
    assert at(healed, "lb-2")


def test_mover_stopped_by_hand_is_started_by_the_next_run(healed: System) -> None:
    healed.node("lb-2", "systemctl stop portway-address")
    assert "Run portway-address" in output(healed.deploy())
    assert told(healed, "lb-2")["vrrp_state"] == "BACKUP"


def test_check_still_counts_after_a_reload_of_keepalived(healed: System) -> None:
    healed.node("lb-1", "systemctl reload keepalived")
    faults.stop(Lab(healed.name), "lb-1", "haproxy")
    wait_until(lambda: at(healed, "lb-2"), 15, "the address at lb-2")
    faults.start(Lab(healed.name), "lb-1", "haproxy")
    wait_until(lambda: at(healed, "lb-1"), 20, "the address back at lb-1")
    healed.deploy()  # which knows what keepalived runs again


def test_no_token_or_key_is_in_what_the_mover_leaves_behind(settled: System) -> None:
    script = (
        "cat /etc/portway/* /run/portway/address/*.json; "
        "journalctl -u portway-address --no-pager; "
        "tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value portway-address)"
        "/cmdline"
    )
    for node in LOAD_BALANCERS:
        text = settled.node(node, script).stdout
        assert "203.0.113." in text
        for word in ("AKIA", "ASIA", "SecretAccessKey", "Token"):
            assert word not in text
