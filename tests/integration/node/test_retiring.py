"""Streams in older workers are closed when nobody needs them, and never before."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.node.balancer import (
    Balancer,
    balancer,
    is_open,
    senders,
    wait_until,
)
from tests.integration.ports import not_accepting

AFTER = 2


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Balancer]:
    """A client and its nodes; streams retire after ``AFTER`` seconds."""
    with balancer(tmp_path, [{"client_name": "one"}], nodes=2) as found:
        found.configure(retire_after=AFTER)
        found.start_keeper()
        yield found


def older(running: Balancer) -> int:
    return len(running.haproxy.workers()[1])


def test_idle_stream_retires_and_the_older_worker_ends(running: Balancer) -> None:
    stream = running.connect(running.ports[0])
    stream.sendall(b"message")
    assert stream.recv(100)
    running.reload()
    assert older(running) == 1
    reloaded = time.monotonic()
    wait_until(lambda: not is_open(stream))
    assert time.monotonic() - reloaded > AFTER / 2
    wait_until(lambda: older(running) == 0)


def test_stream_that_waits_for_an_answer_stays_however_idle(
    running: Balancer,
) -> None:
    for node in running.nodes:
        node.delay = 4 * AFTER
    stream = running.connect(running.ports[0])
    stream.sendall(b"message")
    running.reload()
    stream.settimeout(5 * AFTER)
    assert stream.recv(100), "it was answered, not closed"
    wait_until(lambda: not is_open(stream))


def test_stream_with_traffic_stays(running: Balancer) -> None:
    stream = running.connect(running.ports[0])
    running.reload()
    end = time.monotonic() + 2.5 * AFTER
    while time.monotonic() < end:
        stream.sendall(b"message")
        assert stream.recv(100)
        time.sleep(AFTER / 4)


def test_stream_in_the_newest_worker_stays(running: Balancer) -> None:
    running.reload()
    stream = running.connect(running.ports[0])
    time.sleep(2 * AFTER)
    assert is_open(stream)


def test_older_streams_to_a_failed_node_are_closed(running: Balancer) -> None:
    """No checks run in older workers: the newest one's count."""
    running.configure(retire_after=0)
    streams = [running.connect(running.ports[0]) for _ in range(4)]
    wait_until(lambda: len(running.live(running.ports[0])) == 2)
    running.reload()
    running.node("app-1").healthy = False
    wait_until(lambda: running.live(running.ports[0]) == {"app-2": 2})
    assert sum(map(is_open, streams)) == 2


def test_streams_to_a_node_that_refuses_its_checks_go_on(running: Balancer) -> None:
    """It is about to stop, and answers what it has begun; in older workers, too."""
    running.configure(retire_after=0)
    port = running.ports[0]
    streams = [running.connect(port) for _ in range(4)]
    running.reload()
    streams += [running.connect(port) for _ in range(4)]
    wait_until(lambda: running.live(port) == {"app-1": 4, "app-2": 4})
    before = running.live(port)
    running.close_port("app-1", running.cluster.stack.ports.health)
    wait_until(lambda: "DOWN" in running.command("show stat"))
    time.sleep(3)
    assert running.live(port) == before
    assert all(map(is_open, streams))
    running.node("app-2").healthy = False
    wait_until(lambda: "app-2" not in running.live(port))
    assert running.live(port)["app-1"] == before["app-1"]


def test_failed_node_s_streams_are_closed_but_not_those_being_connected(
    tmp_path: Path,
) -> None:
    """HAProxy 3.0 would never end these, nor tell their clients."""
    entries = [{"client_name": "one", "nodes": ["app-1"]}]
    with balancer(tmp_path, entries, nodes=2, connect_timeout=8) as running:
        (port,) = running.ports
        stream = running.connect(port)
        wait_until(lambda: running.live(port) == {"app-1": 1})
        running.close_port("app-1", port)
        with not_accepting((running.node("app-1").address, port)):
            began = time.monotonic()
            connecting = running.connect(port)
            running.node("app-1").healthy = False
            wait_until(lambda: "DOWN" in running.command("show stat"))
            assert is_open(stream), "that is not HAProxy's to do"
            running.start_keeper()
            wait_until(lambda: not is_open(stream))
            assert is_open(connecting)
            wait_until(lambda: not is_open(connecting))
            assert time.monotonic() - began >= 8, "it ended by itself"
        assert running.log().count("streams to failed nodes were closed") == 1


def test_forty_changes_with_a_stream_each_leave_few_workers(
    running: Balancer,
) -> None:
    """None is cut with a message in flight, and none while it is used."""
    for node in running.nodes:
        node.delay = 0.5
    with senders(running.ports[0], 1) as (used,):
        held, most = [], 0
        for _ in range(40):
            stream = running.connect(running.ports[0])
            stream.sendall(b"message")
            running.reload()
            stream.settimeout(5)
            assert stream.recv(100), "its message in flight got its answer"
            held.append(stream)
            most = max(most, older(running))
        wait_until(lambda: not any(map(is_open, held)), 5 * AFTER)
        wait_until(lambda: older(running) == 1)
        assert (used.reconnects, used.unanswered) == (1, 0)
    assert most < 20
    wait_until(lambda: older(running) == 0)
