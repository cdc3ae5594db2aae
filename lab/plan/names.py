"""What a lab's things are called and where they are: pure, derived from its name.

Everything that belongs to a lab can be found again from its name alone, so that a
lab can be taken down whatever state it was left in.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

DEFAULT = "portway"

OPERATOR = "operator"
ROUTER = "router"
AWS = "aws"

_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
_NODE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab on this machine. Labs of different names do not see each other."""

    name: str

    def __post_init__(self) -> None:
        # No dash: namespaces are called NAME-THING, and "a" must not own "a-b-…".
        if not _NAME.fullmatch(self.name):
            raise LabError(
                f"{self.name!r} cannot name a lab: use up to 15 small letters and "
                "digits, a letter first"
            )

    @property
    def directory(self) -> Path:
        """Everything the lab keeps; gone after ``down``."""
        base = os.environ.get("PORTWAY_LAB_STATE", "/var/lib/portway-lab")
        return Path(base) / self.name

    @property
    def hosts(self) -> Path:
        """One directory per host."""
        return self.directory / "hosts"

    @property
    def home(self) -> Path:
        """The operator's home."""
        return self.directory / "operator"

    @property
    def log(self) -> Path:
        """The log of the lab's AWS."""
        return self.directory / "aws.log"

    def namespace(self, thing: str) -> str:
        """The name of the network namespace of a host or a part of the network."""
        return f"{self.name}-{thing}"

    def namespace_path(self, thing: str) -> Path:
        """Where that namespace can be opened."""
        return Path("/run/netns") / self.namespace(thing)

    def host(self, node: str) -> Path:
        """The directory of one host."""
        if not _NODE.fullmatch(node):
            raise LabError(f"{node!r} cannot name a lab host")
        return self.hosts / node


def chosen(name: str | None = None) -> Lab:
    """The lab that was named, else that of PORTWAY_LAB, else the default one."""
    return Lab(name or os.environ.get("PORTWAY_LAB") or DEFAULT)
