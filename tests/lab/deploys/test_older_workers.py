"""Streams that are older than HAProxy's last reload are the load balancer's, too."""

import re

import pytest

from tests.lab.system import System, output, stream, wait_until

LOAD_BALANCERS = ("lb-1", "lb-2")
OLD_STREAMS = r"""
ask() { echo "$1" | socat - UNIX-CONNECT:/run/haproxy-master.sock; }
old='/^#/ { old = /^# old workers/; next } old { print $1 }'
for pid in $(ask "show proc" | awk "$old"); do
    ask "@!$pid show sess" | grep -o "srv=app-[0-9]*"
done | cut -d= -f2
"""


@pytest.fixture
def site(with_database: System) -> System:
    """A lab in which everything runs as its settings say."""
    with_database.deploy(what="site")
    return with_database


def old_streams(system: System) -> list[str]:
    """The node of each stream that an older worker has."""
    return system.node(system.holder, OLD_STREAMS).stdout.split()


def test_stream_older_than_a_reload_is_drained_and_not_cut(site: System) -> None:
    with stream(site, 9001) as last:
        last()
        for node in LOAD_BALANCERS:
            site.node(node, "systemctl reload haproxy")
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
