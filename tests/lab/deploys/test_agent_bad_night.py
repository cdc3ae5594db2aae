"""Nodes deploy to themselves while much is broken: nothing breaks, and it goes on."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from lab.faults import interface as faults
from lab.plan import facts
from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from portway.contract import paths
from tests.lab.deploys.agents import (
    NODES,
    PORTS,
    TIMER,
    UNIT,
    Edit,
    Timers,
    agents,
    built,
    changed,
    config,
    first_boot,
    healed,
    name_of,
    original,
    timers,
    with_settings,
)
from tests.lab.deploys.membership import TERMINATE
from tests.lab.deploys.test_agent_application import is_used
from tests.lab.deploys.test_application import versions
from tests.lab.system import System, wait_until

__all__ = ["agents", "built", "first_boot", "healed", "original", "timers"]

pytestmark = pytest.mark.long

NEW = "2.0.0"
FULL = ("/opt/portway", "/var/lib/portway")
FILL = """
mkdir /run/full && mount -t tmpfs -o size=1M tmpfs /run/full
for folder in "$@"; do
    upper=/run/full$folder/upper work=/run/full$folder/work
    mkdir -p "$upper" "$work"
    mount -t overlay -o "lowerdir=$folder,upperdir=$upper,workdir=$work" full "$folder"
done
cat /dev/zero >/run/full/zeros 2>/dev/null || [ -s /run/full/zeros ]
"""
"""What is there can be read, and nothing more can be written."""
EMPTY = """
for folder in "$@"; do umount "$folder"; done
umount /run/full && rmdir /run/full
"""


@contextmanager
def undisturbed(system: System) -> Iterator[None]:
    """Messages flow all the while; none is lost, and no client is refused."""
    with Load.start(Lab(system.name), system.address, PORTS, 12, pause=0.3) as load:
        load.wait_until_served()
        yield
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    for client in report.clients:
        assert client.longest_refusal == 0


def refusal(timers: Timers, node: str) -> str:
    """Why a node does not run what is published; empty if it does."""
    return str((timers.status(node)["refusal"] or {}).get("why", ""))


def test_zone_is_whole_again_though_nobody_does_anything(
    timers: Timers, first_boot: System
) -> None:
    """AWS terminates the holder and an application node, and launches others."""
    system, lab = first_boot, Lab(first_boot.name)
    holder, standby = system.holder, system.standby
    lost = holder, "app-1" if holder == "lb-1" else "app-2"

    def is_whole() -> bool:
        return (
            all(timers.has_served(node, name_of(timers.good)) for node in lost)
            and system.masters() == [system.holder] == [standby]
            and all(is_used(system, node) for node in ("app-1", "app-2"))
            and system.node(holder, "systemctl is-active keepalived", False).stdout
            == "active\n"
        )

    with Load.start(lab, system.address, PORTS, 6) as load:
        load.wait_until_served()
        began = time.monotonic()
        addresses = [system.nodes()[node]["address"] for node in lost]
        for node in lost:
            faults.power_off(lab, node)
        for address in addresses:
            system.python(TERMINATE, address, "replace")
        system.call("up", check=False)
        left = 180 - (time.monotonic() - began)
        wait_until(is_whole, left, "a whole system within three minutes")
        print(f"zone of {holder}: whole after {time.monotonic() - began:.0f} s")
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(lab, report) == set()
    for what in ("lb", "app"):
        found = json.loads(system.drift("--no-template", what=what).stdout)
        assert found["findings"] == [], found


def test_aws_and_then_s3_do_not_answer(timers: Timers, tmp_path: Path) -> None:
    """A release is published meanwhile, and deployed when they answer again."""
    system, lab = timers.system, Lab(timers.system.name)
    other = with_settings(timers.good, "night", "idle_timeout = 7200\n", tmp_path)
    with undisturbed(system):
        for node in NODES:
            faults.aws(lab, "down", source=node)
        timers.publish(other)
        for node in NODES:
            assert "not known whether anything has changed" in timers.look(node)
        said = timers.turn(system.standby)
        assert "did not reach AWS" in said, said
        assert timers.agent(system.standby, "status").returncode == 2
        faults.aws(lab, "fail", actions=("GetObject",))
        faults.heal_links(lab)
        node = system.standby
        wait_until(lambda: "s3:GetObject" in refusal(timers, node), 240, "a refusal")
        assert timers.status(node)["release"] == name_of(timers.good)
        assert "7200" not in config(system, node)
        faults.heal_aws(lab)
        for node in (system.standby, system.holder):
            has_served = partial(timers.has_served, node, name_of(other))
            wait_until(has_served, 420, f"what was published on {node}")
            assert "timeout client 7200s" in config(system, node)


REPLACE = """
import boto3, json, sys
stack, size = sys.argv[1], int(sys.argv[2])
name = f"/portway/{stack}/release"
value = boto3.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
place = {"Bucket": json.loads(value)["bucket"], "Key": json.loads(value)["name"]}
s3 = boto3.client("s3")
body = s3.get_object(**place)["Body"].read()
s3.put_object(**place, Body=body[:size] if size > 0 else body + b"x")
"""
REAL_TIME = f"rm -r /run/systemd/system/{UNIT}.d && systemctl daemon-reload"
SIGNERS = "/etc/portway/release-signers"
SIGNER = (
    "echo 'anna@example.com ssh-ed25519 "
    "AAAAC3NzaC1lZDI1NTE5AAAAIJ3qNys3lgVzir6FbMlwcvqXnZvfjo/65o54SzYG+UQ3' "
    f">>{SIGNERS}"
)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("does not start", "cannot start on this machine"),
        ("template", "templates/haproxy.cfg.j2: line 1: Encountered unknown tag"),
        ("cut off", "was published"),
        ("replaced", "was published"),
        ("not signed", "is not signed, and this node asks for a signature"),
    ],
)
def test_release_that_cannot_be_taken_changes_nothing(
    timers: Timers, tmp_path: Path, what: str, told: str
) -> None:
    """Each node says why, and goes on with the one before."""
    system = timers.system
    nodes = system.standby, "app-1"
    edits: dict[str, Edit] = {"project/note": lambda _: what.encode()}
    if what == "does not start":
        edits["project/portway/__init__.py"] = lambda _: b"raise SystemExit(3)\n"
    elif what == "template":
        edits["project/templates/haproxy.cfg.j2"] = lambda text: b"{% no %}\n" + text
    bad = changed(timers.good, what.replace(" ", "-"), tmp_path, edits)
    if what == "not signed":
        for node in nodes:
            system.node(node, SIGNER)
    before = {node: config(system, node) for node in ("lb-1", "lb-2")}
    with undisturbed(system):
        for node in NODES:
            timers.stop(node)
        timers.publish(bad)
        if what in ("cut off", "replaced"):
            size = 1_000_000 if what == "cut off" else 0
            system.python(REPLACE, facts.STACK, str(size))
        for node in nodes:
            said = timers.turn(node)
            assert "not taken, the current release stays" in said, said
            assert told in said, said
            assert f"{node}  no changes" in said, said
            status = timers.agent(node, "status")
            assert status.returncode == 2
            assert name_of(bad) in status.stdout
            assert timers.status(node)["release"] == name_of(timers.good)
    assert {node: config(system, node) for node in ("lb-1", "lb-2")} == before
    if what == "not signed":
        for node in nodes:
            system.node(node, f"sed -i '/^anna/d' {SIGNERS}")


def test_one_node_has_a_release_on_trial(timers: Timers, tmp_path: Path) -> None:
    """The others have what is published; it has, too, when that is over."""
    system = timers.system
    tried = with_settings(timers.good, "tried", "idle_timeout = 7500\n", tmp_path)
    before = config(system, system.holder)
    words = (sys.executable, "-m", "portway.cli.main", "release")
    with undisturbed(system):
        place = ("--node", system.standby, str(tried.file))
        assert system.standby in system.operator(*words, "try", *place).stdout
        has_served = partial(timers.has_served, system.standby, name_of(tried))
        wait_until(has_served, 150, "a trial")
        assert "timeout client 7500s" in config(system, system.standby)
        assert "no changes" in timers.turn(system.holder)
        assert timers.has_served(system.holder, name_of(timers.good))
        assert config(system, system.holder) == before
        assert name_of(tried) in system.operator(*words, "resume").stdout
        has_served = partial(timers.has_served, system.standby, name_of(timers.good))
        wait_until(has_served, 150, "the end of a trial")
        assert "timeout client 7500s" not in config(system, system.standby)


def test_clock_that_is_wrong_changes_nothing(timers: Timers) -> None:
    """AWS refuses its calls; all of it goes on when the clock is right again."""
    system, lab = timers.system, Lab(timers.system.name)
    node = system.standby
    before = config(system, node)
    with undisturbed(system):
        for wrong in (-3600, 86_400):
            faults.prepare_clock(lab, node, (UNIT,))
            faults.clock(lab, node, wrong)
            assert "AWS answers 400" in timers.look(node)
            said = timers.turn(node)
            assert "was signed at another time" in said, said
            assert config(system, node) == before
            faults.clock(lab, node, 0)
            since = time.time()
            assert "no changes" in timers.turn(node)
            told = timers.status(node)
            assert told["failures"] == 0
            assert abs(told["ran"] - since) < 600
            system.node(node, REAL_TIME)  # HAProxy's check hangs with the other


@pytest.mark.parametrize("node", ["lb", "app-1"])
def test_disk_that_is_full_changes_nothing(
    timers: Timers, tmp_path: Path, node: str
) -> None:
    """Neither can it be kept what became of a run, nor a release be unpacked."""
    system = timers.system
    node = system.standby if node == "lb" else node
    settings = f'app_version = "{NEW}"\nidle_timeout = 7300\n'
    other = with_settings(timers.good, "full", settings, tmp_path)
    before = versions(system)
    with undisturbed(system):
        system.execute(node, "sh", "-ec", FILL, "sh", *FULL)
        timers.publish(other)
        said = timers.turn(node)
        assert "No space left on device" in said, said
        assert timers.status(node)["release"] == name_of(timers.good)
        if node == "app-1":
            assert versions(system)[node] == before[node]
        else:
            assert "7300" not in config(system, node)
        timers.stop(node)
        system.execute(node, "sh", "-ec", EMPTY, "sh", *FULL)
        system.node(node, f"systemctl start {TIMER}")
        has_served = partial(timers.has_served, node, name_of(other))
        wait_until(has_served, 420, f"what was published on {node}")


def test_run_that_is_killed_at_each_of_its_lines_is_gone_on_with(
    timers: Timers, tmp_path: Path
) -> None:
    """With all that it has started, on a node of each kind; its lease is left."""
    system = timers.system
    settings = f'app_version = "{NEW}"\nidle_timeout = 7400\nlease_expiry = 6\n'
    new = with_settings(timers.good, "killed", settings, tmp_path)
    with undisturbed(system):
        for node in NODES:
            timers.stop(node)
        timers.publish(new)
        for node, most in (("app-1", 30), (system.standby, 8)):
            seen: set[str] = set()
            kills, began = 0, time.monotonic()
            while not timers.has_served(node, name_of(new)):
                if kills < most:
                    kills += timers.interrupt(node, seen)
                else:
                    timers.turn(node)
                assert time.monotonic() - began < 420, (kills, sorted(seen))
            print(f"{node} was killed {kills} times, at {sorted(seen)}")
            assert kills > 5, seen
        for node in ("app-2", system.holder):
            timers.turn(node)
            assert timers.has_served(node, name_of(new))
    assert versions(system) == dict.fromkeys(("app-1", "app-2"), NEW)
    for node in ("app-1", "app-2"):
        assert is_used(system, node)
        look = f"test -e {paths.OUT_OF_SERVICE}"
        assert system.node(node, look, False).returncode
    again = timers.turn("app-1")
    assert "app-1  no changes" in again
    for node in NODES:
        system.node(node, f"systemctl start {TIMER}")
