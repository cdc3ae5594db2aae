"""What the scripts of Debian's packages do to load balancers that serve."""

import json
import re
import time
from pathlib import Path

from tests.lab.system import System, changes, moves, output, stream, wait_until


def reinstall(system: System, node: str, *packages: str) -> None:
    """What an upgrade does, by unattended-upgrades or by hand."""
    command = "DEBIAN_FRONTEND=noninteractive apt-get -q -y install --reinstall"
    system.node(node, f"{command} {' '.join(packages)}")


def process(system: System, node: str, unit: str) -> str:
    """The process of a unit on a node."""
    return system.node(node, f"systemctl show -p MainPID --value {unit}").stdout


def keepalived(system: System, node: str) -> str:
    """The process of keepalived on a node."""
    return process(system, node, "keepalived")


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
    (older,) = json.loads(system.drift(what="lb").stdout)["findings"]
    assert (older["node"], older["thing"]) == (holder, "keepalived")
    assert older["what"].startswith("runs an older program than its package has")
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


NEW_LIBRARY = """
f=$(readlink -f /usr/lib/*/libcrypto.so.3); cp -p "$f" "$f.new" && mv "$f.new" "$f"
"""
"""What an upgrade of OpenSSL does to the processes that use it."""
RESTARTS = "DEBIAN_FRONTEND=noninteractive needrestart -r a"
"""What apt runs after every upgrade where services are restarted automatically."""


def test_needrestart_restarts_nothing_that_carries_streams(settled: System) -> None:
    holder, began = settled.holder, time.time()
    units = {
        (holder, "haproxy"): True,
        (holder, "keepalived"): True,
        (holder, "portway-address"): False,  # harmless: runs restart it, too
        ("app-1", "message-app"): True,
    }
    install = "apt-get -q -y install --no-install-recommends needrestart"
    for node in (holder, "app-1"):
        settled.node(node, f"DEBIAN_FRONTEND=noninteractive {install}")
    running = {key: process(settled, *key) for key in units}
    with stream(settled, 9001) as last:
        said = {
            node: settled.node(node, f"{NEW_LIBRARY} {RESTARTS}").stdout
            for node in (holder, "app-1")
        }
        before = last()
        while last() < before + 20:
            pass
    for (node, unit), stays in units.items():
        assert f"systemctl restart {unit}.service" in said[node], said[node]
        assert (process(settled, node, unit) == running[node, unit]) is stays
    assert moves(settled, began) == []
    # A reload is enough for HAProxy to use the new library, once its old process ended.
    settled.reload_haproxy(holder)
    wait_until(
        lambda: "haproxy.service" not in restarts_due(settled, holder),
        15,
        "HAProxy uses the new library",
    )
    assert "keepalived.service" in restarts_due(settled, holder)


def restarts_due(system: System, node: str) -> str:
    return system.node(node, "needrestart -b -l").stdout


def test_application_is_restarted_in_turn_once_its_record_is_gone(
    settled: System, every_port: Path
) -> None:
    before = process(settled, "app-1", "message-app")
    settled.node("app-1", "rm /run/portway/loaded/message-app")
    data = ("--data", f"clients_file={every_port}")
    text = output(settled.deploy("-y", *data, what="app"))
    assert "1 of 2 application nodes will be drained and restarted (app-1)" in text
    assert process(settled, "app-1", "message-app") != before
