"""What ``install-release`` on a node is asked to do: one JSON object on its stdin."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fetch:
    """Download, verify and unpack a release."""

    folder: str
    """The application's folder, such as ``/opt/message-app``."""
    version: str
    url: str
    sha256: str
    token: str | None = field(default=None, repr=False)
    """Access token for the download."""
    links: tuple[str, ...] = ()
    """Absolute paths that links in the archive may lead to, or below."""
    programs: tuple[str, ...] = ()
    """Paths in the release of what must be there and can be started."""
    rehearse: bool = False
    """Do and verify everything, but leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Make an unpacked release the current one."""

    folder: str
    version: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove releases, and whatever an interrupted run left behind."""

    folder: str
    versions: tuple[str, ...]


Request = Fetch | Switch | Remove
_REQUESTS: dict[str, type[Request]] = {
    "fetch": Fetch,
    "switch": Switch,
    "remove": Remove,
}


def to_json(request: Request) -> str:
    """The request as the node reads it. It contains the token, if there is one."""
    (name,) = (name for name, kind in _REQUESTS.items() if isinstance(request, kind))
    return json.dumps({"do": name, **asdict(request)})


def from_json(text: str) -> Request:
    """The request that ``to_json`` wrote. ValueError if it did not."""
    try:
        fields: dict[str, Any] = json.loads(text)
        kind = _REQUESTS[fields.pop("do")]
        tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        return kind(**fields | tuples)  # JSON has no tuples
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a request for install-release: {error}") from error
