"""What the scripts of Debian's packages do to load balancers that serve."""

import re
import time

from tests.lab.system import System, changes, moves, output, stream, wait_until


def reinstall(system: System, node: str, *packages: str) -> None:
    """What an upgrade does, by unattended-upgrades or by hand."""
    command = "DEBIAN_FRONTEND=noninteractive apt-get -q -y install --reinstall"
    system.node(node, f"{command} {' '.join(packages)}")


def keepalived(system: System, node: str) -> str:
    """The process of keepalived on a node."""
    return system.node(node, "systemctl show -p MainPID --value keepalived").stdout


def check_upgrade_under_load(system: System) -> None:
    """No stream is cut, the address stays; the next run takes the standby over."""
    holder, standby, began = system.holder, system.standby, time.time()
    running = {node: keepalived(system, node) for node in (holder, standby)}
    with stream(system, 9001) as last:
        reinstall(system, holder, "haproxy", "keepalived")
        reinstall(system, standby, "haproxy", "keepalived")
        assert running == {node: keepalived(system, node) for node in running}
        text = output(system.deploy())
        before = last()
        while last() < before + 20:
            pass
    assert f"{holder} holds the address, and its keepalived is older" in text
    assert f"{standby} holds the address" not in text
    assert keepalived(system, holder) == running[holder]
    assert keepalived(system, standby) != running[standby]
    assert system.masters() == [holder]
    assert moves(system, began) == []


def test_upgraded_packages_cut_no_stream_and_move_nothing(settled: System) -> None:
    check_upgrade_under_load(settled)


def test_without_the_policy_an_upgrade_of_keepalived_moves_the_address(
    settled: System,
) -> None:
    holder, began = settled.holder, time.time()
    settled.node(holder, "rm /usr/sbin/policy-rc.d")
    reinstall(settled, holder, "keepalived")
    wait_until(lambda: moves(settled, began) != [], 30, "the address moves")
    wait_until(
        lambda: settled.masters() == [holder] == [settled.holder], 60, "it comes back"
    )
    settled.deploy()
    assert settled.node(holder, "test -x /usr/sbin/policy-rc.d").returncode == 0


UPDATING = """
import fcntl, time
with open("/var/lib/apt/lists/lock", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    time.sleep(15)
"""


def test_run_waits_for_whoever_updates_the_package_lists(settled: System) -> None:
    standby = settled.standby
    settled.node(standby, "dpkg --remove socat; rm -rf /var/lib/apt/lists/*_*")
    run = ("systemd-run", "--quiet", "--collect", "--unit=updating")
    settled.execute(standby, *run, "python3", "-c", UPDATING)
    update = "apt-get -q update -o Acquire::Retries=0"
    wait_until(
        lambda: "Could not get lock" in settled.node(standby, update, False).stderr,
        10,
        "the lists are locked",
    )
    text = output(settled.deploy())
    assert re.search(r"waiting for .*python3 .*, which locks /var/lib/apt/lists", text)
    assert settled.node(standby, "dpkg-query -W socat").returncode == 0
    assert changes(settled.deploy()) == 0
