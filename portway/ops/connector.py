"""How a run connects to nodes: pyinfra's SSH, on the way that leads to each.

It waits while a node boots. A run on a node itself needs no way.
"""

import logging
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf
from typing import Any

import gevent
from paramiko.ssh_exception import BadHostKeyException
from pyinfra import logger
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector

from portway.errors import PortwayError
from portway.ops.known_hosts import host_keys, is_revoked
from portway.ops.private_parts import read_host_keys_by
from portway.ops.way import REGION, Tunnel, Way

BOOT_TIMEOUT = 300
"""How long after its start an instance may refuse connections because it boots."""
PAUSE_SECONDS = 5.0
ASK_SECONDS = 10.0
"""Between two questions whether a node is still there."""
SILENT_SECONDS = 40.0
"""How long it may take to answer one. With the above it is noticed within a minute."""
UNKNOWN_HOP = "Host key verification failed"
"""What OpenSSH says of a jump host whose key it does not know, or not like this."""
INTERNET = (socket.AF_INET, socket.AF_INET6)
STARTED = "_started_at"
"""In a host's data: when EC2 started it, in ISO 8601."""
STOPPED = "_is_stopped"
"""In a host's data if somebody has stopped its instance."""


@contextmanager
def written(text: str) -> Iterator[str]:
    """The path of a file with this text."""
    with tempfile.NamedTemporaryFile("w", prefix="portway-ssh-") as file:
        file.write(text)
        file.flush()
        yield file.name


class NodeConnector(SSHConnector):
    """Connects through a command if one leads to the node, and waits while it boots."""

    waits = True
    """Whether it waits while the node boots."""
    unwanted = ""
    """Why a run goes without the node, and does not even try to connect."""
    is_silent = False
    """Whether nothing answered when it tried to connect, for whatever reason."""
    _tunnel: Tunnel | None = None
    _watcher: gevent.Greenlet | None = None

    def connect(self) -> None:
        if self.host.data.get(STOPPED):
            self.unwanted = "Its instance is stopped"
        if self.unwanted:
            self.is_silent = True
            raise ConnectError(self.unwanted)
        began = datetime.now(UTC)
        text = self.host.data.get(STARTED)
        started = datetime.fromisoformat(text) if text else None
        while True:
            try:
                self._connect_once()
                self._watcher = gevent.spawn(self._give_up_when_silent)
                return
            except ConnectError as error:
                self.is_silent = _is_silence(error)
                now = datetime.now(UTC)
                age = (now - started).total_seconds() if started else inf
                late = not self.waits or age > self._boot_timeout
                if late or is_about_keys(error):
                    raise
                logger.info(
                    f"{self.host.print_prefix}waiting for its SSH server: EC2 started "
                    f"it {age:.0f} s ago ({(now - began).total_seconds():.0f} s so "
                    f"far, at most {self._boot_timeout} s after its start): {error}"
                )
            gevent.sleep(PAUSE_SECONDS)

    @property
    def _boot_timeout(self) -> int:
        # Commands that need no settings, such as exec, connect as well.
        given = self.host.data.get("boot_timeout")
        return given if isinstance(given, int) else BOOT_TIMEOUT

    def disconnect(self) -> None:
        """Stop watching, and disconnect."""
        if self._watcher is not None:
            self._watcher.kill()
        super().disconnect()

    def _give_up_when_silent(self) -> None:
        """Close a connection whose other end answers nothing, and say so.

        Whatever waits for it then fails. Packets that are lost would hold it for as
        long as TCP tries again: a quarter of an hour.
        """
        transport = self.client.get_transport() if self.client else None
        while transport is not None and transport.is_active():
            gevent.sleep(ASK_SECONDS)
            answered = False
            with gevent.Timeout(SILENT_SECONDS, False):
                # Every server answers, if only that it knows no such request.
                transport.global_request("keepalive@portway", wait=True)
                answered = True
            if not answered and transport.is_active():
                logger.error(
                    f"{self.host.print_prefix}does not answer any more: nothing came "
                    f"for {SILENT_SECONDS:.0f} s; the connection to it is given up"
                )
                transport.close()

    def _connect_once(self) -> None:
        """Connect; ConnectError has what the command on the way says."""
        try:
            way = Way(self.host)
            with written(way.without_proxy()) as own, written(way.jump_options()) as to:
                self._config, self._jump_config = own, to
                super().connect()
            self._refuse_revoked_key()
            self._send_at_once()
        except PortwayError as error:
            raise ConnectError(error.message) from error
        except ConnectError as error:
            if (tunnel := self._tunnel) is None:
                raise
            said = "; ".join(tunnel.said()) or "it said nothing"
            tunnel.close()
            if UNKNOWN_HOP in said:
                said += "\n  connect to each jump host yourself first, with ssh"
            failed = ConnectError(
                f"{error}\n  through the command: {tunnel.command}\n  {said}"
            )
            raise failed from error.__context__

    def _send_at_once(self) -> None:
        """Have TCP keep nothing back.

        A command and what it reads are two small packets. By itself TCP keeps the
        second until the node has acknowledged the first, which takes it 40 ms and the
        way back: more than most commands.
        """
        transport = self.client.get_transport() if self.client else None
        connection = transport.sock if transport else None
        if isinstance(connection, socket.socket) and connection.family in INTERNET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _refuse_revoked_key(self) -> None:
        """Disconnect from a node whose key is revoked, also where any key would do."""
        transport = self.client.get_transport() if self.client else None
        key = transport.get_remote_server_key() if transport else None
        if key and is_revoked(self.host, key.get_name(), key.get_base64()):
            super().disconnect()
            raise ConnectError("its SSH host key is revoked in known_hosts")

    def make_paramiko_kwargs(self) -> dict[str, Any]:
        """What pyinfra connects with, on the way that Portway has found."""
        way = Way(self.host)
        arguments: dict[str, Any] = super().make_paramiko_kwargs()
        arguments |= {
            "hostname": way.address,
            "port": way.port,
            "_pyinfra_ssh_config_file": self._config,
        }
        if command := way.command(self._jump_config):
            self._tunnel = Tunnel(command, self.host.data.get(REGION, ""))
            arguments["sock"] = self._tunnel.socket
        return arguments


class OwnConnector(LocalConnector):
    """Runs a node's commands on this machine, by the user who runs this."""


def is_own(host: Host) -> bool:
    """Whether a host is a node that deploys to itself."""
    return isinstance(host.connector, OwnConnector)


def connect_as_own(state: State, node: Host) -> None:
    """Have a node be the machine that the run is on."""
    node.connector = OwnConnector(state, node)


def _is_silence(error: ConnectError) -> bool:
    """Whether nobody answered, as opposed to somebody who is not let in."""
    cause = error.__cause__ or error.__context__
    said = str(cause).lower()
    late = any(word in said for word in ("banner", "timed out", "timeout"))
    return late or isinstance(cause, (OSError, EOFError))


def is_about_keys(error: ConnectError) -> bool:
    """Whether the host answered, with a key that is not the one on record."""
    cause = error.__cause__ or error.__context__
    return isinstance(cause, BadHostKeyException) or "StrictPolicy" in str(error)


def connect_as_nodes(state: State, nodes: list[Host]) -> None:
    """Have these hosts, which pyinfra would reach by SSH, connected to in this way."""
    # What fails is told by ConnectError; else paramiko's tracebacks would be printed.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    read_host_keys_by(host_keys)
    for node in nodes:
        node.connector_cls = NodeConnector
        connector = node.connector = NodeConnector(state, node)
        connector.waits = state.is_host_in_limit(node)
