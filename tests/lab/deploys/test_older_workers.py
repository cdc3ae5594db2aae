"""Streams that are older than HAProxy's last reload are the load balancer's, too."""

import bisect
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.faults import interface as faults
from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from tests.lab.system import PROJECT, System, output, stream, wait_until

LOAD_BALANCERS = ("lb-1", "lb-2")
OLD_STREAMS = r"""
ask() { echo "$1" | socat - UNIX-CONNECT:/run/haproxy-master.sock; }
old='/^#/ { old = /^# old workers/; next } old { print $1 }'
for pid in $(ask "show proc" | awk "$old"); do
    ask "@!$pid show sess" | grep -o "srv=app-[0-9]*"
done | cut -d= -f2
"""


def old_streams(system: System) -> list[str]:
    """The node of each stream that an older worker has."""
    return system.node(system.holder, OLD_STREAMS).stdout.split()


def test_stream_older_than_a_reload_is_drained_and_not_cut(site: System) -> None:
    with stream(site, 9001) as last:
        last()
        for node in LOAD_BALANCERS:
            site.reload_haproxy(node)
        wait_until(lambda: len(old_streams(site)) == 1, 15, "one old stream")
        (node,) = old_streams(site)
        text = output(
            site.deploy(
                *("-y", "--data", "app_version=2.0.0", "--data", "drain_timeout=8"),
                what="app",
            )
        )
    seconds = re.findall(rf"{node}: draining, 1 streams left, ([0-9]+) s of 8", text)
    assert len(seconds) == 2, text
    assert 5 <= int(seconds[1]) <= 8, "it was still there, and was told every 5 s"
    assert f"{site.holder} closes 1 streams" in text
    assert old_streams(site) == []
    site.deploy(what="app")


CONNECT = """
import socket, sys, time
began = time.monotonic()
client = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
client.settimeout(40)
try:
    print("answer" if client.recv(1) else "end", time.monotonic() - began)
except ConnectionResetError:
    print("end", time.monotonic() - began)
except TimeoutError:
    print("silence", time.monotonic() - began)
"""


def test_client_that_connects_while_its_node_is_found_dead_is_told(
    site: System, clients_file: Path
) -> None:
    """HAProxy 3.0 forgets one whose stream it is made to shut down meanwhile."""
    pinned = {"client_name": "pinned", "client_port": 9002, "nodes": ["app-1"]}
    other = {"client_name": "other", "client_port": 9001}
    clients_file.write_text(json.dumps({"clients": [other, pinned]}))
    given = ("--data", f"clients_file={clients_file}", "--data", "connect_timeout=15")
    site.deploy("-y", *given)
    try:
        faults.cut(Lab(site.name), "app-1", "everything")
        words = ("-c", CONNECT, site.address, "9002")
        how, seconds = site.client(sys.executable, *words).split()
        states = site.node(site.holder, STATES).stdout
    finally:
        faults.heal(Lab(site.name))
        site.deploy(what="site")
    assert how == "end"
    assert "app-1,DOWN" in states
    assert 14 < float(seconds) < 35


STATES = (
    'echo "show stat -1 4 -1" | socat - UNIX-CONNECT:/run/haproxy/admin.sock'
    " | cut -d, -f2,18"
)
WATCH = """
touch /run/watched
while [ -e /run/watched ] && sleep 0.02; do
    found=$(ss -Htn state established sport = :{port} | grep -cE "({peers})]?:")
    echo "$(date +%s.%N) $found"
done
"""


@contextmanager
def watched(system: System, port: int) -> Iterator[Callable[[], list[str]]]:
    """Look all the time which application nodes have streams on a port.

    Yields a function that names each moment at which one node had a stream while
    another one had had one and still had it later.
    """
    peers = "|".join(system.addresses("load-balancer").values()).replace(".", "[.]")
    script = WATCH.format(port=port, peers=peers)
    watchers = {
        node: subprocess.Popen(
            system.command("exec", node, "--", "sh", "-c", script),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for node in system.addresses("application")
    }
    samples: dict[str, list[tuple[float, bool]]] = {}

    def both() -> list[str]:
        for node, process in watchers.items():
            system.node(node, "rm /run/watched")
            lines = process.communicate(timeout=30)[0].splitlines()
            rows = [line.split() for line in lines if line.count(" ") == 1]
            samples[node] = [(float(when), found != "0") for when, found in rows]
            assert any(found for _, found in samples[node]), f"{node} was never used"
        return [
            f"{when:.3f}: {node} beside {other}"
            for node, other in itertools.permutations(samples, 2)
            for when, found in samples[node]
            if found and is_between(when, samples[other])
        ]

    try:
        yield both
    finally:
        for node, process in watchers.items():
            system.node(node, "rm -f /run/watched")
            process.communicate(timeout=30)


def is_between(when: float, samples: list[tuple[float, bool]]) -> bool:
    """Whether the last sample before and the first one after both found streams."""
    after = bisect.bisect(samples, (when, False))
    return 0 < after < len(samples) and samples[after - 1][1] and samples[after][1]


def test_ordered_client_has_one_node_through_reloads_and_a_roll(site: System) -> None:
    lab = Lab(site.name)
    with (
        watched(site, 9003) as both,
        Load.start(lab, site.address, (9003,), clients=4) as load,
    ):
        load.wait_until_served()
        # Whoever was on app-2 goes back once app-1 has been usable for a while.
        wait_until(lambda: site.ask(9003).startswith("app-1"), 20, "clients on app-1")
        for node in LOAD_BALANCERS:
            site.reload_haproxy(node)
        wait_until(lambda: "app-1" in old_streams(site), 15, "old streams on app-1")
        text = output(site.deploy("-y", "--data", "app_version=2.0.0", what="app"))
        load.wait_until_served(time.time())
        report = load.stop()
        assert both() == [], text
    assert missing(lab, report) == set()
    site.deploy(what="app")
