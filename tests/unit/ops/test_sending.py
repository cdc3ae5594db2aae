"""Nothing is kept back on the way to a node."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from paramiko import Transport

from portway.ops.connector import NodeConnector


def connector(connection: socket.socket) -> NodeConnector:
    """A connector that has connected in this way."""
    made = NodeConnector.__new__(NodeConnector)
    transport = Transport(connection)
    vars(made)["client"] = SimpleNamespace(get_transport=lambda: transport)
    return made


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connected,
    ):
        yield connected


def test_small_packets_are_sent_at_once(connection: socket.socket) -> None:
    made = connector(connection)
    assert not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    made._send_at_once()
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_way_through_a_command_is_left_as_it_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connector(ours)._send_at_once()
