"""The way to a node: its address, what ``~/.ssh/config`` says, and a command between.

pyinfra asks ssh_config about addresses only, and its own jumps ask questions about an
unknown bastion. So the user's file is read here, and a jump is left to OpenSSH.
"""

import os
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

from paramiko.ssh_exception import ConfigParseError
from pyinfra.api.host import Host
from pyinfra.connectors.sshuserclient.client import get_ssh_config

from portway.errors import PortwayError
from portway.model.host_keys import covers
from portway.ops.private_parts import host_lines, leave_out_unknown_matches

SSH_PORT = 22
INSTANCE = "_instance_id"
"""In a host's data: the id of its instance."""
REGION = "_region"
"""In a host's data: the region of its stack."""
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""The command line's first version reads the second."""
NEVER_ASK = {"SSH_ASKPASS_REQUIRE": "never"}
"""OpenSSH opens a window to ask about an unknown host if it has no terminal."""
PROXIES = ("proxycommand", "proxyjump")
NAMES = ("name", "instance_id", "address", "port", "region")
"""What a tunnel command may have in braces."""


@dataclass(frozen=True)
class Way:
    """How a node is reached."""

    node: Host

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """What ``~/.ssh/config`` says: about the node's name, its instance or address.

        The first of them that a ``Host`` line has, other than by ``*`` alone, is looked
        up, as ``ssh`` would be called with it.
        """
        data = self.node.data
        file = data.get("ssh_config_file")
        try:
            config = get_ssh_config(file)
            if not config:
                return {}
            leave_out_unknown_matches(config)
            names = [self.node.name, data.get(INSTANCE)]
            lines = host_lines(config)
            meant = (n for n in names if n and any(_is_about(n, li) for li in lines))
            alias = next(meant, self._given)
            found = dict(config.lookup(alias))
        except ConfigParseError as error:
            raise PortwayError(
                f"{file or '~/.ssh/config'} cannot be read: {error}",
                do=f"ssh -G {self.node.name} says what is wrong with it",
            ) from None
        if found.get("hostname") == alias:  # the file has no HostName for it
            del found["hostname"]
        return found

    @property
    def _given(self) -> str:
        return str(self.node.data.get("ssh_hostname") or self.node.name)

    @property
    def address(self) -> str:
        """What is connected to, and looked up in known_hosts."""
        return str(self.options.get("hostname") or self._given)

    @property
    def port(self) -> int:
        """The port of the SSH server."""
        return int(self.node.data.get("ssh_port") or self.options.get("port", SSH_PORT))

    def command(self, jump_config: str) -> str | None:
        """A command that is the connection by its input and output; None to connect.

        ``jump_config`` is a file with ``jump_options``, for OpenSSH. Raises
        PortwayError if ``tunnel_command`` has an unknown name in braces.
        """
        if tunnel := self.node.data.get("tunnel_command"):
            values = (
                self.node.name,
                self.node.data.get(INSTANCE, ""),
                self.address,
                str(self.port),
                self.node.data.get(REGION, ""),
            )
            return filled(str(tunnel), dict(zip(NAMES, values, strict=True)))
        command, jump = (str(self.options.get(key, "none")) for key in PROXIES)
        if command.lower() != "none":
            return command
        return (
            None if jump.lower() == "none" else self._jump(jump.split(","), jump_config)
        )

    def jump_options(self) -> str:
        """What OpenSSH is told for every hop, before it reads the user's own file.

        It asks nobody, and is as strict about bastions as this run. Options in its
        command line would hold for the last hop only.
        """
        strict = self.node.data.get("ssh_strict_host_key_checking")
        own = self.node.data.get("ssh_config_file") or "~/.ssh/config"
        lines = [
            "Host *",
            "BatchMode yes",
            "ServerAliveInterval 15",
            *([f"StrictHostKeyChecking {strict}"] if strict else []),
            f'Include "{os.path.abspath(os.path.expanduser(own))}"',  # noqa: PTH100, PTH111
            "Include /etc/ssh/ssh_config",
        ]
        return "".join(f"{line}\n" for line in lines)

    def _jump(self, hops: list[str], config: str) -> str:
        """The command of OpenSSH that leads through one host after the other."""
        before, last = hops[:-1], hops[-1].removeprefix("ssh://")
        user, at, place = last.rpartition("@")
        bastion, _, port = place.partition(":")
        words = [
            *("ssh", "-F", config),
            *(("-J", ",".join(before)) if before else ()),
            *(("-p", port) if port else ()),
            *("-W", f"[{self.address}]:{self.port}", f"{user}{at}{bastion}"),
        ]
        return shlex.join(words)

    def without_proxy(self) -> str:
        """What ssh_config says about this node alone, and not about the way to it."""
        lines = [
            f"{key} {value}\n"
            for key, values in self.options.items()
            if key not in (*PROXIES, "hostname", "port")
            for value in (values if isinstance(values, list) else [values])
        ]
        return "Host *\n" + "".join(lines)


def _is_about(name: str, patterns: list[str]) -> bool:
    """Whether a ``Host`` line is about this name, and not about every name."""
    return covers(patterns, name) and covers([p for p in patterns if p != "*"], name)


def filled(command: str, values: Mapping[str, str]) -> str:
    """A tunnel command for one node; PortwayError if a name in it is unknown."""
    quoted = {name: shlex.quote(value) for name, value in values.items()}
    try:
        return command.format_map(quoted)
    except (KeyError, IndexError, ValueError):
        raise PortwayError(
            f"tunnel_command has an unknown name in braces: {command}",
            do=f"there are {', '.join(f'{{{name}}}' for name in NAMES)}",
        ) from None


class Tunnel:
    """A running command, and the socket that is its input and output."""

    def __init__(self, command: str, region: str) -> None:
        self.command = command
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - see close
        self.socket, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=self._errors,
                env=os.environ | dict.fromkeys(_REGION_VARIABLES, region) | NEVER_ASK,
                # Ctrl-C must not cut it before the run has put things back.
                start_new_session=True,
            )

    def said(self) -> Iterable[str]:
        """What the command printed about what went wrong: errors, or the last lines."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        spoken = [line.strip() for line in lines if line.strip()]
        return [line for line in spoken if "error" in line.lower()][:3] or spoken[-3:]

    def close(self) -> None:
        """End it."""
        self.socket.close()
        self._process.terminate()
        self._process.wait()
        self._errors.close()
