"""What is asked of the lab's AWS: one request as a value, and those there were.

Part of the process that is AWS, but it knows nothing of moto.
"""

import io
import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

KEPT = 100_000

NAMING = (
    "AllocationId",
    "AssociationId",
    "AutoScalingGroupName",
    "Bucket",
    "DBInstanceIdentifier",
    "DestinationCidrBlock",
    "DryRun",
    "InstanceId",
    "Key",
    "Name",
    "NetworkInterfaceId",
    "PrivateIpAddress",
    "PublicIp",
    "ResourceId",
    "RoleName",
    "RouteTableId",
    "SecretId",
    "SourceDestCheck",
    "StackName",
    "Tag",
)
"""Parameters that say what a call is about. None of them is ever secret."""

_SCOPE = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Request:
    """One request to AWS."""

    source: str
    """The address it came from."""
    service: str
    """The service's name in signatures: ``ec2``."""
    action: str
    protocol: str
    """The form of the service's answers: ``ec2``, ``query``, ``json``, ``rest-xml``."""
    parameters: dict[str, str]
    """Those of ``NAMING`` that it has, with the number that lists have: ``.1``."""
    key: str = ""
    """The id of the access key that it is signed with."""
    signed_at: float | None = None
    """When, by the clock of who asks, in seconds since 1970; None if nothing says."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was answered."""

    at: float
    """When it came, in seconds since the epoch."""
    source: str
    action: str
    status: int
    parameters: dict[str, str]
    seconds: float = 0.0
    """From its coming to its answer."""


class Calls:
    """The last calls."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._lock = Lock()

    def add(self, call: Call) -> None:
        """Remember a call."""
        with self._lock:
            self._calls.append(call)

    def since(self, moment: float) -> list[list[Any]]:
        """The calls that came since a moment, in the order of their answers."""
        with self._lock:
            return [list(astuple(call)) for call in self._calls if call.at >= moment]


def read(environ: dict[str, Any]) -> Request:
    """What a request asks for; the request stays readable."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    source = str(environ["REMOTE_ADDR"])
    key, service = _signer(environ)
    if service == "s3":
        method, place = str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"])
        bucket, _, name = place.removeprefix("/").partition("/")
        action, protocol = (
            f"{method.capitalize()}{'Object' if name else 'Bucket'}",
            "rest-xml",
        )
        given = {"Bucket": bucket, "Key": name}
    elif target := str(environ.get("HTTP_X_AMZ_TARGET", "")):
        action, protocol = target.rpartition(".")[2], "json"
        given = _json_parameters(body)
    else:
        text = body.decode(errors="replace") or str(environ.get("QUERY_STRING", ""))
        given = {key: values[0] for key, values in parse_qs(text).items()}
        action = given.get("Action", str(environ["PATH_INFO"]))
        protocol = "ec2" if service == "ec2" else "query"
    at = _signed_at(environ)
    return Request(source, service, action, protocol, dict(_naming(given)), key, at)


def _signer(environ: dict[str, Any]) -> tuple[str, str]:
    """The access key of a signature, and the service that it is for."""
    found = _SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    return (found[1], found[2]) if found else ("", "")


def _signed_at(environ: dict[str, Any]) -> float | None:
    try:
        text = str(environ.get("HTTP_X_AMZ_DATE", ""))
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC).timestamp()


def _json_parameters(body: bytes) -> dict[str, str]:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        return {}
    if not isinstance(given, dict):
        return {}
    return {key: value for key, value in given.items() if isinstance(value, str)}


def _naming(given: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in given.items():
        if key.partition(".")[0] in NAMING:
            yield key, value
