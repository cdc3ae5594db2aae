"""The screen says how the system is, whatever is broken, and history how it came."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.faults import interface as faults
from lab.plan.names import Lab
from tests.lab.system import PROJECT, PYINFRA, Result, System, stream, wait_until

INVENTORY = "inventories/lab.py"
REDRAW = os.environ.get("PORTWAY_REDRAW") == "1"
"""Whether to write the screens that the documents show again."""


def portway(system: System, verb: str, *options: str) -> Result:
    words = (sys.executable, "-m", "portway.cli.main", verb, INVENTORY, *options)
    return system.operator(*words, check=False)


def status(system: System) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(portway(system, "status", "--json").stdout)
    return found


def texts(found: dict[str, Any], kind: str) -> list[str]:
    return [f["text"] for f in found["findings"] if f["kind"] == kind]


def shape(screen: str) -> list[str]:
    """The lines of a screen without what differs each time it is made."""
    plain = re.sub(r"last run: .*?\n\n", "last run\n\n", screen, flags=re.DOTALL)
    plain = re.sub(r"\b[0-9a-f]{12}\b|\d+", "0", plain)
    return [re.sub(r"\s+", " ", line).strip() for line in plain.strip().splitlines()]


def documented(path: Path, mark: str, screen: str) -> str:
    """The screen that a document shows between two marks; replaced if asked for."""
    start, end = f"<!-- {mark} -->\n```text\n", f"```\n<!-- end of {mark} -->"
    before, _, rest = path.read_text().partition(start)
    shown, _, after = rest.partition(end)
    assert after, f"{path.name} has no marks for {mark}"
    if REDRAW:
        lines = "".join(f"{line.rstrip()}\n" for line in screen.strip().splitlines())
        path.write_text(f"{before}{start}{lines}{end}{after}")
        return screen
    return shown


OLD_SESSIONS = r"""
ask() { echo "$1" | socat - UNIX-CONNECT:/run/haproxy-master.sock; }
ask "show proc"
for pid in $(ask "show proc" | awk '/^#/ { old = /^# old/; next } old { print $1 }'); do
    ask "@!$pid show sess"
done
"""


@pytest.fixture(scope="module", autouse=True)
def without_older_streams(site: System) -> None:
    """Streams of earlier tests, if there are any, end within two minutes."""

    def is_over() -> bool:
        found = status(site)["findings"]
        assert all("older HAProxy process" in one["text"] for one in found), found
        return not found

    try:
        wait_until(is_over, 130, "streams of earlier tests have ended")
    except AssertionError as error:
        for node in ("lb-1", "lb-2"):
            error.add_note(f"{node}: {site.node(node, OLD_SESSIONS).stdout}")
        raise


def test_healthy_system_is_shown_as_such(site: System) -> None:
    before = os.times()
    result = portway(site, "status")
    after = os.times()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all is well" in result.stdout
    worked = after.children_user - before.children_user
    assert worked < 5, "it takes 3 s, half of it work, where nothing else goes on"
    assert max(map(len, result.stdout.splitlines())) <= 100
    shown = documented(PROJECT / "README.md", "status", result.stdout)
    assert shape(shown) == shape(result.stdout), "PORTWAY_REDRAW=1 draws it again"


@pytest.fixture(scope="module")
def page(site: System, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a healthy system; from now on this machine knows its stack."""
    path = tmp_path_factory.mktemp("page") / "status.html"
    assert portway(site, "status", "--html", str(path)).returncode == 0
    return path.read_text()


def test_page_has_the_same_and_needs_nothing_else(page: str) -> None:
    assert "all is well" in page
    for name in ("lb-1", "lb-2", "app-1", "app-2", "client_two_orders"):
        assert f">{name}</td>" in page
    assert not re.search(r"(src|href)=", page)


def test_client_that_reached_us_is_found_in_log_and_streams(site: System) -> None:
    with stream(site, 9001) as last:
        last()
        assert site.ask(9002)
        site.reload_haproxy(site.holder)
        found = portway(site, "status", "--client", "client_one", "--json")
        (at,) = (
            at
            for at in json.loads(found.stdout)["at"]
            if at["load_balancer"] == site.holder
        )
        assert at["connections"] == 1
        (seen,) = at["seen"]["streams"]
        assert seen["node"] in ("app-1", "app-2")
        assert seen["worker"], "it is in the process that the reload left behind"
        assert json.loads(found.stdout)["state"] == "served"
    shown = portway(site, "status", "--client", "client_two")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"{site.holder}: client=client_two source=" in shown.stdout


@pytest.mark.usefixtures("page")
def test_without_aws_the_rest_is_shown_in_bounded_time(site: System) -> None:
    lab = Lab(site.name)
    faults.aws(lab, "down", source="operator")
    try:
        result = portway(site, "status")
    finally:
        faults.heal_links(lab)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "? AWS could not be asked" in result.stdout
    assert "AWS does not answer within 6 s" in " ".join(result.stdout.split())
    assert re.search(r"app-2 +application .* serves", result.stdout)
    assert f"last seen at {site.holder}" in result.stdout


def test_haproxy_that_hangs_is_told_as_that(site: System) -> None:
    standby = site.standby
    faults.hang(Lab(site.name), standby, "haproxy")
    try:
        found = status(site)
    finally:
        faults.resume(Lab(site.name), standby, "haproxy")
    assert found["exit_status"] == 2, found["findings"]
    assert f"{standby}: HAProxy does not answer on its socket" in texts(found, "wrong")
    wait_until(lambda: status(site)["exit_status"] == 0, 20, "all is well again")


@pytest.fixture
def broken(site: System) -> Iterator[str]:
    """Five things are broken or odd at once; yields the node with the address."""
    holder, standby = site.holder, site.standby
    assert holder == "lb-1", "the master of record"
    site.node(holder, "echo 1 >/etc/portway/transfer")
    wait_until(lambda: site.holder == standby, 20, "the transfer")
    with stream(site, 9001) as last:
        last()
        site.reload_haproxy(standby)
        down = "show servers state tcp_ordered"
        socket = "socat - UNIX-CONNECT:/run/haproxy/admin.sock"
        for node in ("app-1", "app-2"):
            out = f"set server tcp_ordered/{node} state maint"
            site.node(standby, f"echo '{out}' | {socket}")
        site.node("app-2", "systemctl stop message-app")
        site.node(holder, "systemctl stop haproxy")
        seen = f"echo 'show stat' | {socket} | grep -q '^tcp_leastconn,app-2,.*,DOWN,'"
        wait_until(
            lambda: site.node(standby, seen, check=False).returncode == 0, 20, down
        )
        yield standby


def test_everything_that_is_broken_is_told_and_mended_as_told(
    site: System, broken: str
) -> None:
    result = portway(site, "status")
    assert result.returncode == 2, result.stdout + result.stderr
    shown = documented(PROJECT / "docs" / "runbook.md", "broken status", result.stdout)
    assert shape(shown) == shape(result.stdout), "PORTWAY_REDRAW=1 draws it again"
    found = status(site)
    wrong, notes = texts(found, "wrong"), texts(found, "note")
    assert "lb-1: HAProxy is not running" in wrong
    assert any("sees app-2 as down in" in text for text in wrong)
    assert "app-2: the unit message-app is inactive" in wrong
    assert any(t.startswith("nobody serves client_two_orders") for t in wrong)
    assert any("lb-1 has handed the address over" in text for text in notes)
    assert any("1 stream in 1 older HAProxy process" in text for text in notes)
    assert found["holder"] == broken
    states = {client["name"]: client for client in found["clients"]}
    assert states["client_two_orders"]["state"] == "nobody serves it"
    assert states["client_one"]["connections"] == states["client_one"]["older"] == 1

    commands = dict.fromkeys(
        finding["do"]
        for finding in found["findings"]
        if finding["do"].startswith("pyinfra ")
    )
    assert len(commands) == 2, "one mends all; the other takes the address back"
    for command in commands:
        site.operator(PYINFRA, *command.split()[1:], "-y")
    mended = status(site)
    assert texts(mended, "wrong") == []
    assert mended["holder"] == "lb-1"


def test_history_tells_runs_moves_and_reloads(site: System) -> None:
    result = portway(site, "history", "--since", "10m", "--json")
    assert result.returncode == 0, result.stderr
    events = json.loads(result.stdout)["events"]
    runs = [event for event in events if event["kind"] == "run"]
    transfer = [run for run in runs if "deploys/transfer.py" in run["text"]][-1]
    assert transfer["result"] == "succeeded"
    assert set(transfer["nodes"]) == {"lb-1", "lb-2"}
    assert transfer["changes"]["lb-1"][0] == "Prefer lb-1"
    mending = [run for run in runs if "deploys/site.py" in run["text"]][-1]
    assert "Run haproxy" in mending["changes"]["lb-1"]
    assert mending["seconds"] is not None
    moves = [event for event in events if event["kind"] == "move"]
    assert moves[-1]["nodes"] == ["lb-1"]
    assert "lb-1 became VRRP master" in moves[-1]["text"]
    assert any("by-hand" in e["text"] for e in events if e["kind"] == "reload")
    assert [e["when"] for e in events] == sorted(e["when"] for e in events)
