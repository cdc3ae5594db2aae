"""A node's SSH server, as little of it as is needed to forward connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)

USER = "admin"


@dataclass
class ForwardingServer(paramiko.ServerInterface):
    """Lets one key in, and forwards to one port whatever is asked for."""

    key: paramiko.PKey
    target: int
    forwards: bool
    commands: list[bytes]
    asked: list[tuple[str, int]]

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        allowed = username == USER and key == self.key
        return AUTH_SUCCESSFUL if allowed else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(
        self, channel: paramiko.Channel, command: bytes
    ) -> bool:
        self.commands.append(command)
        return False

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.asked.append(destination)
        if not self.forwards:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.target)):
            return OPEN_SUCCEEDED
        return OPEN_FAILED_CONNECT_FAILED


@dataclass
class RunningNode:
    """An SSH server on loopback, and how to log in to it."""

    port: int
    folder: Path
    server: ForwardingServer


@contextmanager
def running_node(
    folder: Path, target: int, *, forwards: bool = True
) -> Iterator[RunningNode]:
    """A node that reaches ``target``; ``folder`` becomes the operator's home."""
    ssh = folder / ".ssh"
    ssh.mkdir(mode=0o700, parents=True)
    host_key, user_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    user_key.write_private_key_file(str(ssh / "id_ecdsa"))
    server = ForwardingServer(user_key, target, forwards, [], [])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        known = f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n"
        (ssh / "known_hosts").write_text(known)
        threading.Thread(
            target=_serve, args=(listener, host_key, server), daemon=True
        ).start()
        yield RunningNode(port, folder, server)


def _serve(
    listener: socket.socket, host_key: paramiko.PKey, server: ForwardingServer
) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            transport = paramiko.Transport(connection)
            transport.add_server_key(host_key)
            transport.start_server(server=server)
            threading.Thread(
                target=_forward, args=(transport, server.target), daemon=True
            ).start()


def _forward(transport: paramiko.Transport, target: int) -> None:
    while transport.is_active():
        channel = transport.accept(1)
        if channel is None:
            continue
        far = socket.create_connection(("127.0.0.1", target))
        for source, sink in ((channel, far), (far, channel)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(
    source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel
) -> None:
    with suppress(OSError, EOFError):
        while piece := source.recv(32_768):
            sink.sendall(piece)
    for end in (source, sink):
        with suppress(OSError, EOFError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
