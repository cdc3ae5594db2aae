"""What is in an archive that ``portway release build`` makes, and where.

It has one folder, named after the version, with a checkout's files, the wheels of
everything that they need, and programs that run them with Debian's own Python.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

FORMAT = 1
"""Of the manifest. One that is higher was made by a newer Portway."""
MANIFEST = "release.json"
PROJECT = "project"
"""The checkout's files."""
WHEELS = "wheels"
PROGRAMS = "bin"
ENVIRONMENTS = "environments"
"""Where the wheels are unpacked on the machine, a folder for each environment."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a wheel must fit."""

    python: str
    """Version, such as 3.13; CPython."""
    machine: str
    """As ``uname -m`` says it."""


DEBIAN: Mapping[str, Environment] = {
    "debian13-amd64": Environment("3.13", "x86_64"),
    "debian13-arm64": Environment("3.13", "aarch64"),
    "debian12-amd64": Environment("3.11", "x86_64"),
    "debian12-arm64": Environment("3.11", "aarch64"),
}
"""The machines that there can be archives for."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself."""

    version: str
    portway: str
    """The project's version."""
    commit: str
    committed_at: int
    """Seconds since 1970."""
    changed: bool
    """Whether files differ from that commit."""
    wheels: Mapping[str, Sequence[str]]
    """File names of the wheels for each of its machines, a name of ``DEBIAN``."""

    def to_dict(self) -> dict[str, object]:
        """As it is written, in the manifest's format."""
        return {
            "format": FORMAT,
            "version": self.version,
            "portway": self.portway,
            "commit": self.commit,
            "committed_at": self.committed_at,
            "changed": self.changed,
            "wheels": {name: list(files) for name, files in self.wheels.items()},
        }

    @classmethod
    def from_dict(cls, found: object) -> "Manifest":
        """What ``to_dict`` made; ValueError if it is something else."""
        if not isinstance(found, dict):
            raise ValueError("it is no manifest of an archive")
        rest = dict(found)
        if rest.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT}, which is what this can read")
        try:
            manifest = cls(**rest)
        except TypeError as error:
            raise ValueError(f"a field is missing or unknown: {error}") from error
        manifest._refuse_wrong_types()
        return manifest

    def _refuse_wrong_types(self) -> None:
        texts = (self.version, self.portway, self.commit)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("version, portway and commit must be text")
        if not isinstance(self.committed_at, int) or not isinstance(self.changed, bool):
            raise ValueError("committed_at must be a number, changed true or false")
        if not isinstance(self.wheels, dict):
            raise ValueError("wheels must have file names by machine")
        for files in self.wheels.values():
            if not isinstance(files, list) or not all(map(_is_file_name, files)):
                raise ValueError("wheels must have file names by machine")


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and name == PurePath(name).name and name[:1] != "."
