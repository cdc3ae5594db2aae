"""Whether a message is in flight, from what the kernel knows of a connection."""

import socket
from dataclasses import replace
from typing import Any

import pytest

from portway.node.streams.closing import is_answered
from portway.node.streams.kernel import Connection, again, established

ANSWERED = Connection(
    family=socket.AF_INET,
    local=("10.60.0.5", 9001),
    remote=("198.51.100.10", 40_000),
    sent_ago=70.0,
    received_ago=70.1,
    acknowledged_ago=10.0,
    received=100,
    waiting=0,
)


@pytest.mark.parametrize(
    ("changes", "answered"),
    [
        ({}, True),
        ({"sent_ago": 70.2}, False),
        ({"waiting": 1}, False),
        ({"received": 0, "sent_ago": 99}, True),
        ({"sent_ago": 70.1, "acknowledged_ago": 70.1}, False),
        ({"sent_ago": 70.1, "acknowledged_ago": 70.0}, True),
        # What was acknowledged later may be a keepalive probe.
        ({"sent_ago": 70.1, "acknowledged_ago": 10.1}, False),
    ],
)
def test_last_byte_and_what_the_peer_has_tell(
    changes: dict[str, Any], answered: bool
) -> None:
    assert replace(ANSWERED, **changes).is_answered == answered


def test_what_was_seen_before_counts_until_another_byte_comes() -> None:
    before = replace(ANSWERED, sent_ago=5, received_ago=5, acknowledged_ago=4.9)
    now = replace(ANSWERED, sent_ago=70, received_ago=70, acknowledged_ago=9)
    assert not now.is_answered
    assert is_answered(now, before)
    assert not is_answered(replace(now, received=101), before)
    assert not is_answered(replace(now, waiting=1), before)


def test_kernel_says_who_sent_last() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ours, remote = server.accept()
        with client, ours:
            (seen,) = [c for c in established({remote[1]}) if c.remote == remote]
            assert established({1}) == []
            assert seen.is_answered
            client.sendall(b"message")
            assert ours.recv(100)
            asked = again(seen)
            assert asked
            assert not asked.is_answered
            assert asked.received == len(b"message")
        assert again(seen) is None
