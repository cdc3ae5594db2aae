"""A byte stream to a port that only a node can reach, through its SSH connection.

With a connector that runs on this machine (``@local``) it connects directly.
"""

import contextlib
import socket
import threading
from typing import Protocol

from paramiko.ssh_exception import ChannelException, SSHException
from pyinfra.api.host import Host

from portway.errors import PortwayError

PIECE = 32_768
FORBIDDEN = 1
"""OPEN_ADMINISTRATIVELY_PROHIBITED: the SSH server does not forward (RFC 4254)."""


class Channel(Protocol):
    """What is used of paramiko's channel."""

    def recv(self, nbytes: int) -> bytes: ...

    def sendall(self, s: bytes) -> None: ...

    def close(self) -> None: ...


class Unreachable(PortwayError):  # noqa: N818 - a state, not an error of the program
    """Nothing answers on the port, which may change."""


def open_stream(node: Host, address: str, port: int, seconds: float) -> socket.socket:
    """Connect to a port from a node, within some seconds.

    Raises Unreachable, which names the node, the port and what to check.
    """
    client = getattr(node.connector, "client", None)
    if client is None:
        try:
            return socket.create_connection((address, port), seconds)
        except OSError as error:
            text = error.strerror or str(error)
            raise _unreachable("this machine", address, port, text) from None
    try:
        channel = client.get_transport().open_channel(
            "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=seconds
        )
    except ChannelException as error:
        if error.code == FORBIDDEN:
            raise PortwayError(
                f"{node.name}: its SSH server forwards no connection to "
                f"{address}:{port}",
                do="set AllowTcpForwarding yes in its sshd_config",
            ) from None
        raise _unreachable(node.name, address, port, error.text) from None
    except (SSHException, OSError, EOFError, AttributeError) as error:
        raise _unreachable(node.name, address, port, str(error)) from None
    return stream_through(channel)


def _unreachable(who: str, address: str, port: int, text: str) -> Unreachable:
    return Unreachable(
        f"{who} does not reach the database at {address}:{port} "
        f"({text.rstrip('.') or 'no answer'})",
        do="check that the database runs, that its "
        "security group admits the application nodes, and their routes",
    )


def stream_through(channel: Channel) -> socket.socket:
    """A real socket whose other end is the channel, because TLS needs one.

    Closing one closes the other.
    """
    near, far = socket.socketpair()
    for pump in (_out, _back):
        threading.Thread(target=pump, args=(far, channel), daemon=True).start()
    return near


def _out(far: socket.socket, channel: Channel) -> None:
    with contextlib.suppress(OSError, EOFError):
        while piece := far.recv(PIECE):
            channel.sendall(piece)
    channel.close()


def _back(far: socket.socket, channel: Channel) -> None:
    with contextlib.suppress(OSError, EOFError):
        while piece := channel.recv(PIECE):
            far.sendall(piece)
    with contextlib.suppress(OSError):
        far.shutdown(socket.SHUT_RDWR)
    far.close()
    channel.close()
