"""Which release a stack's nodes are to run: what one parameter in AWS says. Pure."""

import json
import re
from dataclasses import asdict, dataclass

NONE = "none"
"""What the parameter says while nothing was published."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"portway-[0-9A-Za-z.+-]{1,100}\.tar")
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

    def to_json(self) -> str:
        """The value of the parameter."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Published | None":
        """What a parameter says; None while nothing was published.

        ValueError if it says something else.
        """
        if text.strip() == NONE:
            return None
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        try:
            return cls(**found)
        except TypeError as error:
            raise ValueError(f"a field is missing or unknown: {error}") from error
