"""The stream through a node: a real socket on each side of a channel that is not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import paramiko
import pytest
from pyinfra.api.host import Host

from portway.errors import PortwayError
from portway.ops.tunnel import Unreachable, open_stream, stream_through


@dataclass
class SocketChannel:
    """A channel as paramiko has them, backed by a real socket."""

    inner: socket.socket
    closed: threading.Event

    def recv(self, nbytes: int) -> bytes:
        return self.inner.recv(nbytes)

    def sendall(self, s: bytes) -> None:
        self.inner.sendall(s)

    def close(self) -> None:
        with suppress(OSError):
            self.inner.shutdown(socket.SHUT_RDWR)
        self.closed.set()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, SocketChannel]]:
    """Our end of the stream, the server's, and the channel between them."""
    server, inner = socket.socketpair()
    channel = SocketChannel(inner, threading.Event())
    stream = stream_through(channel)
    stream.settimeout(10)
    server.settimeout(10)
    yield stream, server, channel
    for end in (stream, server, inner):
        end.close()


Ends = tuple[socket.socket, socket.socket, SocketChannel]


def test_bytes_arrive_whole_and_in_order_both_ways(ends: Ends) -> None:
    stream, server, _ = ends
    there = bytes(range(256)) * 20_000
    back = there[::-1]
    sending = threading.Thread(target=lambda: stream.sendall(there))
    sending.start()
    received = b""
    while len(received) < len(there):
        received += server.recv(65_536)
    sending.join()
    assert received == there
    answering = threading.Thread(target=lambda: server.sendall(back))
    answering.start()
    received = b""
    while len(received) < len(back):
        received += stream.recv(65_536)
    answering.join()
    assert received == back


def test_closing_the_stream_closes_the_channel(ends: Ends) -> None:
    stream, server, channel = ends
    stream.close()
    assert server.recv(1) == b""
    assert channel.closed.wait(10)


def test_server_that_hangs_up_ends_the_stream(ends: Ends) -> None:
    stream, server, channel = ends
    server.close()
    assert stream.recv(1) == b""
    assert channel.closed.wait(10)


def node(client: object) -> Host:
    return cast(
        Host, SimpleNamespace(name="app-1", connector=SimpleNamespace(client=client))
    )


def client_that(raises: Exception) -> object:
    def open_channel(*arguments: object, **options: object) -> None:
        raise raises

    transport = SimpleNamespace(open_channel=open_channel)
    return SimpleNamespace(get_transport=lambda: transport)


@pytest.mark.parametrize(
    "error",
    [
        paramiko.ChannelException(2, "Connection refused"),
        paramiko.SSHException("Timeout opening channel."),
        EOFError(),
    ],
)
def test_port_that_the_node_does_not_reach_is_told(error: Exception) -> None:
    with pytest.raises(Unreachable) as refusal:
        open_stream(node(client_that(error)), "db.test", 5432, 1)
    assert "app-1 does not reach the database at db.test:5432" in str(refusal.value)
    assert "security group" in str(refusal.value)


def test_node_that_forwards_nothing_is_told_as_that() -> None:
    forbidden = paramiko.ChannelException(1, "Administratively prohibited")
    with pytest.raises(PortwayError, match="AllowTcpForwarding"):
        open_stream(node(client_that(forbidden)), "db.test", 5432, 1)


def test_without_ssh_the_port_is_connected_to_directly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        open_stream(node(None), "127.0.0.1", port, 1).close()
    with pytest.raises(Unreachable, match="this machine does not reach"):
        open_stream(node(None), "127.0.0.1", port, 1)
