"""Killed, failing and divided: what a run leaves behind, and what the next one does."""

import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.system import (
    CONFIGS,
    PROJECT,
    PYINFRA,
    System,
    changes,
    has_changed,
    output,
    wait_until,
)


def start_deploy(system: System, clients_file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        system.command(
            "run",
            "--",
            PYINFRA,
            "inventories/lab.py",
            "deploys/lb.py",
            "-y",
            "--data",
            f"clients_file={clients_file}",
            "--data",
            "lease_expiry=6",  # the next run waits that long for one that is killed
        ),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def write_clients(path: Path, port: int) -> None:
    entries = [
        {"client_name": "client_one", "client_port": 9001},
        {"client_name": "changing", "client_port": port},
    ]
    path.write_text(json.dumps({"clients": entries}))


def test_run_killed_between_writing_and_reloading_is_mended_by_the_next(
    settled: System, clients_file: Path
) -> None:
    write_clients(clients_file, 9031)
    process = start_deploy(settled, clients_file)
    assert process.stdout
    written = False
    for line in process.stdout:  # the standby's is put in place first
        written = written or "Write /etc/haproxy/haproxy.cfg" in line
        if written and "Success" in line:
            process.kill()
            break
    process.communicate()
    torn = {n: settled.loaded(n) for n in ("lb-1", "lb-2")}
    assert any(disk != loaded for disk, loaded in torn.values()), torn
    assert settled.ask(9001).startswith("app-")

    settled.deploy("-y", "--data", f"clients_file={clients_file}")
    for node in ("lb-1", "lb-2"):
        disk, loaded = settled.loaded(node)
        assert disk == loaded
    assert settled.ask(9031).startswith("app-")


@pytest.mark.parametrize(
    ("unit", "path", "edit"),
    [
        ("haproxy", CONFIGS[0], "s/maxconn 8000/maxconn 7000/"),
        ("keepalived", CONFIGS[1], "s/virtual_router_id 51/virtual_router_id 52/"),
    ],
)
def test_configuration_edited_and_reloaded_by_hand_is_mended(
    settled: System, unit: str, path: str, edit: str
) -> None:
    standby = settled.standby
    settled.node(standby, f"sed -i '{edit}' {path} && systemctl reload {unit}")
    text = output(settled.deploy())
    assert has_changed(text, f"Run {unit}"), text
    info = settled.node(standby, "echo show info | socat - /run/haproxy/admin.sock")
    assert "\nMaxconn: 8000\n" in info.stdout
    assert changes(settled.deploy()) == 0


@pytest.mark.parametrize("seed", range(2))
def test_run_killed_at_any_moment_leaves_whole_files(
    settled: System, clients_file: Path, seed: int
) -> None:
    write_clients(clients_file, 9100 + seed)
    process = start_deploy(settled, clients_file)
    time.sleep(random.Random(seed).uniform(0.5, 5))
    process.kill()
    process.communicate()
    check = f"haproxy -c -f {CONFIGS[0]} && keepalived -t -f {CONFIGS[1]}"
    for node in ("lb-1", "lb-2"):
        settled.node(node, check)
        ports = settled.node(node, f"grep -c ^frontend {CONFIGS[0]}").stdout
        assert ports.strip() in {"3", "5"}
    assert settled.ask(9001).startswith("app-")

    settled.deploy("-y", "--data", f"clients_file={clients_file}")
    assert settled.ask(9100 + seed).startswith("app-")


def test_first_node_that_does_not_come_up_stops_the_run(
    settled: System, clients_file: Path
) -> None:
    write_clients(clients_file, 9041)
    holder, standby = settled.holder, settled.standby
    folder = "/run/systemd/system/haproxy.service.d"
    fails = "echo the licence is missing; exit 1"
    settled.node(
        standby,
        f"mkdir -p {folder}; printf '[Service]\\nExecStartPre=sh -c \"{fails}\"\\n' "
        f">{folder}/zz.conf; systemctl daemon-reload; systemctl stop haproxy",
    )
    before = settled.file_states()
    try:
        result = settled.deploy(
            "-y", "--data", f"clients_file={clients_file}", check=False
        )
        assert result.returncode != 0
        assert standby in output(result)
        assert "the licence is missing" in output(result), "its journal"
        assert settled.file_states()[holder] == before[holder]
        assert settled.ask(9001).startswith("app-")
        assert settled.ask(9041) == ""
    finally:
        settled.node(standby, f"rm {folder}/zz.conf; systemctl daemon-reload")
    settled.deploy("-y", "--data", f"clients_file={clients_file}")
    assert settled.ask(9041).startswith("app-")


def test_standby_without_a_healthy_server_fails_verification(settled: System) -> None:
    with settled.without_servers(settled.standby):
        result = settled.deploy("-y", "--data", "verify_timeout=8", check=False)
        assert result.returncode != 0
        assert "backends without a healthy server: " in output(result)
        assert settled.ask(9001).startswith("app-")
    settled.deploy()


DROP_VRRP = (
    "table inet divided { chain heard { type filter hook input priority 0; "
    "ip protocol 112 drop; }; }"
)


def divide(system: System, *ruleset: str) -> None:
    """Load a ruleset into the network of both load balancers."""
    for node in system.status()["nodes"]:
        if node["role"] == "load-balancer":
            within = ("ip", "netns", "exec", node["namespace"])
            subprocess.run((*within, "nft", *ruleset), check=True)


def test_two_masters_fail_the_run(settled: System) -> None:
    masters = settled.masters()
    divide(settled, DROP_VRRP)
    try:
        wait_until(lambda: len(settled.masters()) == 2, 15, "both masters")
        result = settled.deploy("-y", "--data", "verify_timeout=5", check=False)
        assert result.returncode != 0
        assert "are VRRP master" in output(result)
    finally:
        divide(settled, "delete table inet divided")
    wait_until(lambda: settled.masters() == masters, 15, "one master")
    settled.deploy()
