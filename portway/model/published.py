"""Which release a stack's nodes are to run: what one parameter in AWS says. Pure."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

NONE = "none"
"""What the parameter says while nothing was published."""
NAMESPACE = "portway-release"
"""What OpenSSH's signatures of releases are for: none of anything else counts."""
SIGNATURE = ".sig"
"""Ends the name of a signature, as ssh-keygen has it."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"portway-[0-9A-Za-z.+-]{1,100}\.tar")
_ID = re.compile(r"i-[0-9a-f]{8,17}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def parameter_name(stack: str) -> str:
    """The name of the parameter of a stack."""
    return f"/portway/{stack}/release"


@dataclass(frozen=True, slots=True)
class Published:
    """A release that is in a bucket."""

    bucket: str
    name: str
    """Of the archive, and its key in the bucket."""
    sha256: str

    def __post_init__(self) -> None:
        """ValueError for what no node would take."""
        for field, pattern in (
            ("bucket", _BUCKET),
            ("name", _NAME),
            ("sha256", _SHA256),
        ):
            value = getattr(self, field)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise ValueError(f"its {field} is none: {value!r}")

    @property
    def release(self) -> str:
        """What it is called on a node."""
        return self.name.removesuffix(".tar")


@dataclass(frozen=True, slots=True)
class Trial:
    """A release that one node runs instead of the one for all."""

    instance: str
    """The id of the node's instance: another one in its place takes part in none."""
    release: Published

    def __post_init__(self) -> None:
        """ValueError for what is no instance."""
        if not isinstance(self.instance, str) or not _ID.fullmatch(self.instance):
            raise ValueError(f"its instance is none: {self.instance!r}")


@dataclass(frozen=True, slots=True)
class Publication:
    """What the nodes of a stack are to run."""

    release: Published
    trial: Trial | None = None

    def here(self, own_instance: Callable[[], str]) -> Published:
        """The release for the node that asks; it need not say who it is without one."""
        if self.trial is not None and self.trial.instance == own_instance():
            return self.trial.release
        return self.release

    def to_json(self) -> str:
        """The value of the parameter."""
        value: dict[str, Any] = asdict(self.release)
        if self.trial is not None:
            value["trial"] = {
                "instance": self.trial.instance,
                **asdict(self.trial.release),
            }
        return json.dumps(value)

    @classmethod
    def from_json(cls, text: str) -> "Publication | None":
        """What a parameter says; None while nothing was published.

        ValueError if it says something else.
        """
        if text.strip() == NONE:
            return None
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        trial = found.pop("trial", None)
        try:
            if trial is not None:
                instance = trial.pop("instance", "")
                trial = Trial(instance, Published(**trial))
            return cls(Published(**found), trial)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"a field is missing or unknown: {error}") from error
