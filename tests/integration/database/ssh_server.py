"""A node's SSH server: it forwards connections and runs scripts.

Of the node's files only Portway's own exist, in a folder of the test.
"""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)

USER = "admin"
FOLDERS = ("/run/portway", "/var/lib/portway", "/etc/message-app")


@dataclass
class ForwardingServer(paramiko.ServerInterface):
    """Lets one key in, and forwards to one port whatever is asked for."""

    key: paramiko.PKey
    target: int
    forwards: bool
    commands: list[bytes]
    """Those that it ran."""
    files: Path
    """Takes the place of the node's ``/``."""
    asked: list[tuple[str, int]]
    forwarded: set[int] = field(default_factory=set)
    """Channels that are connections, not scripts."""

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
        threading.Thread(target=self._run, args=(channel, command), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, command: bytes) -> None:
        script = command.decode().removeprefix("sudo -H -n ")  # it is root's already
        for folder in FOLDERS:
            (self.files / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
            script = script.replace(folder, f"{self.files}{folder}")
        process = subprocess.Popen(
            script,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdin
        assert process.stdout
        threading.Thread(
            target=_feed, args=(channel, process.stdin), daemon=True
        ).start()
        with suppress(OSError):
            channel.sendall(process.stdout.read())
            channel.send_exit_status(process.wait())
            channel.close()

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.asked.append(destination)
        self.forwarded.add(chanid)
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
    files = folder / "node"
    server = ForwardingServer(user_key, target, forwards, [], files, [])
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
            own = replace(server, forwarded=set())
            with suppress(paramiko.SSHException, EOFError):  # it only looked
                transport.start_server(server=own)
            threading.Thread(
                target=_forward, args=(transport, own), daemon=True
            ).start()


def _forward(transport: paramiko.Transport, server: ForwardingServer) -> None:
    kept = []  # paramiko closes channels that nobody refers to
    while transport.is_active():
        channel = transport.accept(1)
        if channel is None or channel.get_id() not in server.forwarded:
            kept.append(channel)
            continue
        far = socket.create_connection(("127.0.0.1", server.target))
        for source, sink in ((channel, far), (far, channel)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _feed(channel: paramiko.Channel, sink: IO[bytes]) -> None:
    with suppress(OSError, EOFError):
        while piece := channel.recv(32_768):
            sink.write(piece)
            sink.flush()
    with suppress(OSError):
        sink.close()


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
