"""What the check and the mover write decides who is master, with two real keepaliveds.

They are those of this machine; the lab has those of Debian 13 and 12.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from portway.contract import paths
from portway.contract.check import RELEASE
from portway.model.build import build_cluster
from portway.model.cluster import Cluster, LoadBalancer
from portway.render.check import STALE
from portway.render.load_balancer import load_balancer, preparation
from tests.integration.load_balancers import keepalived_pair
from tests.unit.samples import clients, cluster, settings

CLUSTER = cluster()


@dataclass
class Pair:
    folder: Path
    process: subprocess.Popen[str]

    def masters(self) -> tuple[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("masters\n")
        self.process.stdin.flush()
        at, *names = self.process.stdout.readline().split()
        return " ".join(names), float(at)

    def stall(self, node: str, seconds: float) -> None:
        self.tell("stall", node, str(seconds))

    def tell(self, *words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{' '.join(words)}\n")
        self.process.stdin.flush()

    def configure(self, node: str, wanted: LoadBalancer, of: Cluster) -> None:
        text = load_balancer(of, wanted).file(str(paths.KEEPALIVED_CONFIG)).content
        here = re.sub("/(run|etc)/portway", str(self.folder / node), text)
        (self.folder / f"{node}.conf").write_text(here)

    def write(self, node: str, file: Path, text: str) -> None:
        path = self.place(node, file)
        new = path.with_name(".new")
        new.write_text(text)
        new.replace(path)

    def place(self, node: str, file: Path) -> Path:
        return self.folder / node / file.relative_to("/run/portway")

    def verdict(self, node: str, value: int) -> None:
        self.write(node, paths.VERDICT, f"{value}\nwhy\n")

    def standing(self, node: str, value: int) -> None:
        self.write(node, paths.STANDING, f"{value}\n")

    def beat(self, *nodes: str) -> None:
        for node in nodes:
            up = time.clock_gettime(time.CLOCK_BOOTTIME)
            self.write(node, paths.BEAT, f"{up:.0f}\n")

    def until(
        self, masters: str, seconds: float = 5, beating: str = "lb-1 lb-2"
    ) -> float:
        """Seconds until these are master."""
        began = time.time()
        while True:
            self.beat(*beating.split())
            found, at = self.masters()
            if found == masters:
                return at - began
            assert at - began < seconds, f"{found} and not {masters}: {self.log()}"
            time.sleep(0.02)

    def stays(self, masters: str, seconds: float) -> None:
        end = time.time() + seconds
        while time.time() < end:
            self.until(masters, 0)
            time.sleep(0.05)

    def log(self) -> str:
        return "\n".join(
            (self.folder / n / "log").read_text() for n in ("lb-1", "lb-2")
        )


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    for lb in CLUSTER.load_balancers:
        network, address = keepalived_pair.NETWORKS[lb.name]
        assert lb.node.address == address, network
        for name in ("address", "check"):
            (tmp_path / lb.name / name).mkdir(parents=True)
        wanted = load_balancer(CLUSTER, lb).file(str(paths.KEEPALIVED_CONFIG)).content
        for suffix, text in (("conf", wanted), ("sh", preparation(address))):
            here = re.sub("/(run|etc)/portway", str(tmp_path / lb.name), text)
            (tmp_path / f"{lb.name}.{suffix}").write_text(here)
    unshare = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
    ]
    program = [sys.executable, keepalived_pair.__file__, str(tmp_path)]
    process = subprocess.Popen(
        [*unshare, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    found = Pair(tmp_path, process)
    try:
        found.until("lb-1", 20)
        yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_master_that_gives_up_is_followed_at_once_and_one_that_only_sinks_is_not(
    pair: Pair,
) -> None:
    for value in (RELEASE, -20):
        pair.verdict("lb-1", value)
        if value == RELEASE:
            assert pair.until("lb-2") < 0.5
    pair.verdict("lb-1", 0)
    assert pair.until("lb-1") > 0.5, "it takes back what nobody keeps"
    pair.verdict("lb-1", -20)
    assert pair.until("lb-2") > 0.5, "a backup ignores lower adverts for a while"


def test_address_stays_after_a_fail_over_until_it_is_claimed_or_its_node_fails(
    pair: Pair,
) -> None:
    pair.verdict("lb-1", RELEASE)
    pair.until("lb-2")
    pair.standing("lb-2", CLUSTER.load_balancer("lb-2").stay_weight)
    pair.verdict("lb-1", 0)
    pair.stays("lb-2", 2)
    pair.standing("lb-1", CLUSTER.load_balancer("lb-1").claim_weight)
    pair.until("lb-1")
    for node in ("lb-1", "lb-2"):
        pair.standing(node, 0)
    pair.stays("lb-1", 1)
    pair.standing("lb-2", 0)
    pair.verdict("lb-1", RELEASE)
    pair.until("lb-2")
    pair.standing("lb-2", CLUSTER.load_balancer("lb-2").stay_weight)
    pair.verdict("lb-1", 0)
    pair.stays("lb-2", 1)
    pair.verdict("lb-2", -20)
    pair.until("lb-1")


def test_lost_master_is_followed_within_the_bound_and_a_stall_of_0_6_s_is_not(
    pair: Pair,
) -> None:
    for _ in range(3):
        pair.stall("lb-1", 0.6)
        pair.stays("lb-1", 1.2)
    pair.stall("lb-2", 2)
    pair.stays("lb-1", 2.5)
    pair.stall("lb-1", 3)
    assert 0.6 < pair.until("lb-1 lb-2") < 1.2, "a stalled one keeps its address"
    pair.standing("lb-2", CLUSTER.load_balancer("lb-2").stay_weight)
    pair.until("lb-2")
    pair.stays("lb-2", 2)


def test_one_without_a_peer_is_master_and_lets_one_in(pair: Pair) -> None:
    nodes = (n for n in CLUSTER.stack.nodes if n.name != "lb-2")
    stack = replace(CLUSTER.stack, nodes=tuple(nodes))
    alone = build_cluster(stack, settings(), clients())
    pair.tell("end", "lb-2")
    pair.configure("lb-1", alone.load_balancer("lb-1"), alone)
    pair.tell("reload", "lb-1")
    pair.stays("lb-1", 2)
    pair.tell("end", "lb-1")
    pair.until("")
    pair.tell("start", "lb-1")
    pair.until("lb-1")
    pair.configure("lb-1", CLUSTER.load_balancer("lb-1"), CLUSTER)
    pair.tell("reload", "lb-1")
    pair.tell("start", "lb-2")
    pair.stays("lb-1", 3)
    pair.verdict("lb-1", RELEASE)
    pair.until("lb-2")


def test_one_is_master_when_both_give_up(pair: Pair) -> None:
    for value in (RELEASE, -20):
        for node in ("lb-2", "lb-1"):
            pair.verdict(node, value)
        time.sleep(0.1)
    pair.until("lb-1")
    pair.stays("lb-1", 1)


def test_check_that_no_longer_looks_counts_as_failed_and_a_pause_does_not(
    pair: Pair,
) -> None:
    end = time.time() + STALE - 2
    while time.time() < end:
        pair.until("lb-1", 1, beating="lb-2")
        time.sleep(0.1)
    pair.stays("lb-1", 2)
    assert pair.until("lb-2", STALE + 5, beating="lb-2") > STALE - 1
    pair.until("lb-1", 5)


def test_keepalived_leaves_a_sign_that_it_has_asked(pair: Pair) -> None:
    asked = pair.place("lb-1", paths.ASKED)
    pair.until("lb-1")
    before = asked.stat().st_mtime
    end = time.time() + 5
    while asked.stat().st_mtime == before:
        assert time.time() < end
        time.sleep(0.1)
