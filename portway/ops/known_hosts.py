"""Which file has the host keys that a run trusts, and what SSH looks up in it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api.host import Host

from portway.errors import PortwayError
from portway.model.host_keys import (
    Entry,
    HostKey,
    read_entries,
    revoked_keys,
    usable,
)
from portway.ops.private_parts import PatternHostKeys
from portway.ops.way import SSH_PORT, Way


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """Where the key of one host is looked for."""

    name: str
    """What SSH looks up: an address, or ``[address]:port``."""
    files: tuple[Path, ...]
    """The first is the one to write to."""
    is_strict: bool
    """Whether a host without a key is refused."""


def known_hosts(node: Host) -> KnownHosts:
    """Where pyinfra looks for a node's key, by its settings and ``~/.ssh/config``."""
    data, way = node.data, Way(node)
    of_host = way.options
    files = data.get("ssh_known_hosts_file")
    written = [files] if files else of_host.get("userknownhostsfile", "").split()
    strict = data.get("ssh_strict_host_key_checking") or of_host.get(
        "stricthostkeychecking"
    )
    return KnownHosts(
        way.address if way.port == SSH_PORT else f"[{way.address}]:{way.port}",
        tuple(
            Path(os.path.expanduser(file))  # noqa: PTH111 - as pyinfra does it
            for file in written or ["~/.ssh/known_hosts"]
        ),
        strict == "yes",
    )


def read_all(files: Iterable[Path]) -> tuple[Entry, ...]:
    """All lines of several files."""
    return tuple(e for file in files for e in read_entries(read_file(file)))


def host_keys(files: Iterable[str]) -> PatternHostKeys:
    """What pyinfra's SSH is to know of these files: each line that counts.

    By itself it gives a file up at the first line that it cannot read.
    """
    keys = PatternHostKeys()
    for entry in usable(read_all(map(Path, files))):
        if entry.key is not None:
            keys.append(entry.names, entry.key.kind, entry.key.data)
    return keys


def is_revoked(node: Host, kind: str, data: str) -> bool:
    """Whether a line of a node's files says that nobody may have this key any more."""
    return HostKey(kind, data) in revoked_keys(read_all(known_hosts(node).files))


def read_file(path: Path) -> str:
    """The text of a known_hosts file; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise PortwayError(f"{path} cannot be read ({error.strerror})") from None
