"""What a node should have, as plain values."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ManagedFile:
    """A file that Portway owns from its first byte to its last."""

    path: str
    content: str = field(repr=False)
    mode: str = "600"
    owner: str = "root"
    group: str = "root"
    validate: tuple[str, ...] = ()
    """Command that checks the file on the node; the path of the candidate is appended.
    Empty: there is no program that could check it."""
    secret: bool = False
    """Whether its content must never be shown."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Service:
    """A systemd unit that should run with the current content of its config."""

    unit: str
    config: str
    """Path of the managed file that the unit loads."""
    override: str
    """Path of the managed file that is the unit's drop-in, or the unit itself."""
    process: str
    """Shell command that prints which process serves."""
    replaced_by_reload: bool
    """Whether a reload replaces that process, or must not."""
    reload: str = "reload"
    """systemctl's verb for it; a process that cannot reload is restarted."""
    before_reload: str = ":"
    """Shell command that gives the running process what its unit file now says."""
    own_words: tuple[str, ...] = ()
    """Matches for journalctl that leave only what it says about itself."""
    alert: str = ""
    """What those lines have that say why it failed; without any, all are shown."""
    copy: str = ""
    """Path of a copy of what the unit loaded, if one is kept; with its hash it says
    exactly what the process runs."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What to look at on a node: names only, known before anything is rendered."""

    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    sysctls: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedNode:
    """Everything that a role requires of a node."""

    packages: tuple[str, ...] = ()
    files: tuple[ManagedFile, ...] = ()
    """In the order in which they are written."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    folders: tuple[str, ...] = ()
    """Folders that are Portway's own: any other file in them is removed."""

    @property
    def survey(self) -> Survey:
        return Survey(
            packages=self.packages,
            files=tuple(file.path for file in self.files),
            folders=self.folders,
            sysctls=tuple(self.sysctls),
            units=tuple(service.unit for service in self.services),
        )

    def file(self, path: str) -> ManagedFile:
        """The managed file of this path; KeyError if there is none."""
        return {file.path: file for file in self.files}[path]
