"""What ``install-release`` on a node is asked to do: one JSON object on its stdin."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from portway.contract.artifact_access import token_headers


@dataclass(frozen=True, slots=True)
class Fetch:
    """Download, verify and unpack a release."""

    folder: str
    """The application's folder, such as ``/opt/message-app``."""
    version: str
    url: str
    sha256: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What opens the server of the URL, and goes to no other."""
    authorities: str = field(default="", repr=False)
    """Certificates, as PEM, that may have issued the server's, besides the node's own
    authorities."""
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
    """The request as the node reads it. It contains what opens the server."""
    (name,) = (name for name, kind in _REQUESTS.items() if isinstance(request, kind))
    return json.dumps({"do": name, **asdict(request)})


def from_json(text: str) -> Request:
    """The request that ``to_json`` wrote. ValueError if it did not.

    Version 0.1.0 wrote an access token in place of headers.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        kind = _REQUESTS[fields.pop("do")]
        token = fields.pop("token", None)
        if token is not None:
            fields["headers"] = token_headers(token)
        tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
        return kind(**fields | tuples)  # JSON has no tuples
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a request for install-release: {error}") from error
