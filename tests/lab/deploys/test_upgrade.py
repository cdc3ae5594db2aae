"""This version takes over what the last release deployed, and the other way round."""

import io
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from tests.lab.conftest import brought_up
from tests.lab.system import (
    PROJECT,
    System,
    changes,
    commands,
    moves,
    output,
    stream,
)
from tests.releases import LAST_RELEASE
from tests.unit.documents.reading import blocks, section

PYTHON = "/usr/local/lib/portway/python/"
"""Where programs have a folder for each version now."""
GONE = {"/usr/local/lib/portway/check-haproxy"}
"""A check that is no file any more."""
PORTS = (9001, 9002, 9003)
NODES = ("lb-1", "lb-2", "app-1", "app-2")

FOLDERS = "/etc/haproxy /etc/keepalived /etc/message-app /etc/portway /etc/sysctl.d \
/etc/systemd/system /usr/local /opt/message-app"
FILES = rf"""
find $(ls -d {FOLDERS} 2>/dev/null) -type f -printf '%i %m %u %g ' \
    -exec sha256sum {{}} \;
"""
CONFIG = "cat /etc/haproxy/haproxy.cfg"
PROCESSES = """
for unit in haproxy keepalived message-app; do
    echo $unit $(systemctl show -p MainPID --value $unit)
done
"""
"""None is restarted; a reload of HAProxy replaces its worker only."""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the last release."""
    folder = tmp_path_factory.mktemp("release")
    archive = subprocess.run(
        ["git", "archive", LAST_RELEASE], cwd=PROJECT, capture_output=True, check=False
    )
    assert archive.returncode == 0, (
        f"the last release, {LAST_RELEASE}, is not in this clone's history: clone it "
        f"whole, without --depth ({archive.stderr.decode()})"
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def old(release: Path) -> Iterator[System]:
    """A lab that the last release deployed."""
    for system in brought_up("old", "trixie"):
        system.deploy(what="site", project=release)
        yield system


def files(system: System, node: str) -> dict[str, tuple[str, str]]:
    """Inode and state of each file of Portway's folders on a node, by path."""
    found = {}
    for line in system.node(node, FILES).stdout.splitlines():
        inode, *state, path = line.split()
        found[path] = inode, " ".join(state)
    return found


def test_upgrade_under_load_cuts_and_loses_and_moves_nothing(old: System) -> None:
    assert "server app-i-" in old.node("lb-1", CONFIG).stdout, "as it calls them"
    before = {node: files(old, node) for node in NODES}
    running = {node: old.node(node, PROCESSES).stdout for node in NODES}
    began = time.time()
    with (
        stream(old, 9001) as last,
        Load.start(Lab(old.name), old.address, PORTS, pause=0.3) as load,
    ):
        load.wait_until_served()
        first = last()
        upgraded = old.deploy(what="site")
        while last() < first + 50:
            pass
        load.wait_until_served(time.time())
        report = load.stop()

    assert changes(upgraded) > 0
    assert missing(Lab(old.name), report) == set()
    assert [client.resent for client in report.clients] == [0] * len(report.clients)
    assert moves(old, began) == []
    assert old.masters() == [old.holder]
    assert {n: old.node(n, PROCESSES).stdout for n in NODES} == running

    assert "server app-1 " in old.node("lb-1", CONFIG).stdout
    for node in NODES:
        after = files(old, node)
        removed = {path for path in before[node] if path.startswith(PYTHON)} | (
            GONE if node.startswith("lb") else set()
        )
        assert before[node].keys() - after.keys() == removed
        for path in before[node].keys() & after.keys():
            (inode, state), (new_inode, new_state) = before[node][path], after[path]
            assert (inode != new_inode) == (state != new_state), (
                f"{node}: {path} was written though it is the same"
            )

    again = old.deploy("-y", "--debug", what="site")
    assert changes(again) == 0, output(again)
    taken = commands(again)
    assert taken["app-1"] == taken["app-2"] == 4, output(again)
    assert max(taken.values()) <= 9, output(again)


def remove_newer_units(system: System) -> None:
    """Do what the document says, word by word, once 0.1.0 is back."""
    back = section((PROJECT / "docs" / "upgrading.md").read_text(), "Go back")
    (block,) = (block for block in blocks(back) if block.kind == "sh node")
    ours = "systemctl list-units --no-legend --plain 'portway-*' | cut -d' ' -f1"
    for node in ("lb-1", "lb-2"):
        system.node(node, f"set -e\n{block.text}")
        assert system.node(node, ours).stdout.split() == ["portway-address.service"]
        assert system.node(node, "systemctl --failed --no-legend").stdout == ""


def test_going_back_and_forward_again_leaves_what_this_version_wants(
    old: System, release: Path
) -> None:
    old.deploy(what="site")
    wanted = {node: files(old, node) for node in NODES}
    began = time.time()
    with stream(old, 9001) as last:
        first = last()
        old.deploy(what="site", project=release)
        remove_newer_units(old)
        assert changes(old.deploy(what="site", project=release)) == 0
        old.deploy(what="site")
        while last() < first + 50:
            pass
    assert moves(old, began) == []
    for node in NODES:
        states = {path: state for path, (_, state) in files(old, node).items()}
        assert states == {path: state for path, (_, state) in wanted[node].items()}
