"""What a node should be, what it is, and the difference, as plain values.

Pure. Differences can be printed, counted and masked; the operations that make them
go away are in ``portway.operations``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

LOADED_FOLDER = "/run/portway/loaded"
"""Where the hash of the config that each unit loaded is kept, until a reboot."""


@dataclass(frozen=True, slots=True)
class ManagedFile:
    """A file that Portway owns from its first byte to its last."""

    path: str
    content: str = field(repr=False)
    mode: str = "600"
    owner: str = "root"
    group: str = "root"
    validate: tuple[str, ...] = ()
    """Command that judges the file on the node; the path of the candidate is put
    behind it. Empty: nothing reads the file that could judge it."""
    secret: bool = False
    """Whether its content must never be shown."""

    @property
    def sha256(self) -> str:
        """Hash of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Service:
    """A systemd unit that should run with the current content of its config."""

    unit: str
    config: str
    """Path of the managed file that the unit loads."""
    override: str
    """Path of the managed file that adds to the unit, or is it."""
    process: str
    """Shell command that prints which process serves."""
    replaced_by_reload: bool
    """Whether a reload puts another process in its place, or must not."""
    reload: str = "reload"
    """systemctl's verb for it; a process that cannot reload is restarted."""
    before_reload: str = ":"
    """Shell command that gives the running process what the unit file would."""


@dataclass(frozen=True, slots=True)
class WantedNode:
    """Everything that a role asks of a node."""

    packages: tuple[str, ...]
    files: tuple[ManagedFile, ...]
    """In the order in which they are written."""
    sysctls: Mapping[str, str]
    services: tuple[Service, ...]

    def file(self, path: str) -> ManagedFile:
        """The managed file of this path; KeyError if there is none."""
        return {file.path: file for file in self.files}[path]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it is on a node."""

    sha256: str
    mode: str
    owner: str
    group: str


@dataclass(frozen=True, slots=True)
class FoundService:
    """A unit as it is on a node."""

    active: bool
    enabled: bool
    needs_daemon_reload: bool
    """systemd's own word; it does not notice the first override of a unit."""
    overrides: tuple[str, ...]
    """Paths of the unit's own file and its overrides that systemd has read."""
    loaded_sha256: str | None
    """Hash of the config that the running process loaded; None if unknown."""


@dataclass(frozen=True, slots=True)
class FoundNode:
    """What one read of a node found."""

    packages: frozenset[str] = frozenset()
    """Those that are completely installed."""
    files: Mapping[str, FoundFile] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, FoundService] = field(default_factory=dict)
    listeners: Mapping[int, str] = field(default_factory=dict)
    """TCP ports that programs other than HAProxy listen on, and the programs."""
    interfaces: Mapping[str, str] = field(default_factory=dict)
    """Network interface of each IPv4 address."""


def missing_packages(wanted: WantedNode, found: FoundNode) -> tuple[str, ...]:
    """The packages to install, in the order asked for."""
    return tuple(p for p in wanted.packages if p not in found.packages)


def file_differs(wanted: ManagedFile, found: FoundNode) -> bool:
    """Whether content, mode or owner of a file is not what it should be."""
    return found.files.get(wanted.path) != FoundFile(
        wanted.sha256, wanted.mode, wanted.owner, wanted.group
    )


def sysctls_differ(wanted: WantedNode, found: FoundNode) -> bool:
    """Whether any kernel setting is not in force."""
    return any(found.sysctls.get(k) != v for k, v in wanted.sysctls.items())


def service_steps(
    service: Service, wanted: ManagedFile, found: FoundNode
) -> tuple[str, ...]:
    """What brings a unit to the wanted state, in order.

    Some of ``daemon-reload``, ``enable``, then ``start`` or ``reload``. It is decided
    by what is running, not by what this run changed: a run that died between writing
    a config and reloading is mended by the next.
    """
    unit = found.services.get(service.unit)
    if unit is None:
        return ("daemon-reload", "enable", "start")
    steps = []
    if unit.needs_daemon_reload or service.override not in unit.overrides:
        steps.append("daemon-reload")
    if not unit.enabled:
        steps.append("enable")
    if not unit.active:
        steps.append("start")
    elif unit.loaded_sha256 != wanted.sha256:
        steps.append("reload")
    return tuple(steps)


def is_settled(wanted: WantedNode, found: FoundNode) -> bool:
    """Whether a node is all that it should be."""
    return not (
        missing_packages(wanted, found)
        or any(file_differs(file, found) for file in wanted.files)
        or sysctls_differ(wanted, found)
        or any(
            service_steps(service, wanted.file(service.config), found)
            for service in wanted.services
        )
    )
