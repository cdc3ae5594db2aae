"""The only module that calls Artifactory: finds a release and its checksum.

Every failure leaves it as a PortwayError. The token is in no error, URL or log. Nodes
download the archive themselves.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests
from pydantic import SecretStr
from requests.auth import AuthBase

from portway.errors import GROUP_DATA, PortwayError, Problem, refuse_if_any
from portway.model.releases import Release
from portway.model.settings import Settings

TIMEOUT = (5.0, 20.0)
"""Seconds to connect, and to wait for an answer."""
ATTEMPTS = 4
BUSY = (429, 500, 502, 503, 504)
"""Statuses that may be different a moment later."""


class _Bearer(AuthBase):
    """The token in its header.

    requests removes it when a redirect leaves the host, and does not replace it with a
    password from ``~/.netrc``.
    """

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            value = f"Bearer {self._token.get_secret_value()}"
            request.headers["Authorization"] = value
        return request


def find_release(
    settings: Settings,
    token: SecretStr | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Release:
    """The release that the settings ask for, with the checksum it must have.

    A checksum pinned in the settings wins, and must be the one that Artifactory gives.
    Raises PortwayError if a setting is missing, Artifactory does not know the archive,
    refuses the token, gives another checksum or none, or cannot be reached.
    """
    refuse_if_any(_missing(settings))
    base = str(settings.artifactory_url).rstrip("/")
    place = f"{settings.artifactory_repository}/{_path(settings)}"
    about = f"{settings.app_name} {settings.app_version}"
    url = f"{base}/api/storage/{place}"
    answer = _ask(url, token, about, sleep)
    _refuse_status(answer, settings, about, place)
    stated = _checksum(answer, about, place)
    pinned = settings.artifact_sha256
    if pinned is not None and stated is not None and pinned != stated:
        raise PortwayError(
            f"{about}: artifact_sha256 in {GROUP_DATA} is {pinned}, but Artifactory "
            f"gives {stated} for {place}",
            do="set the right one, or find out who changed the archive",
        )
    if (sha256 := pinned or stated) is None:
        raise PortwayError(
            f"{about}: Artifactory gives no SHA-256 for {place}",
            do=f"have it calculate one, or set artifact_sha256 in {GROUP_DATA}",
        )
    return Release(str(settings.app_version), f"{base}/{place}", sha256)


def _missing(settings: Settings) -> Iterator[Problem]:
    for name in ("app_version", "artifactory_url", "artifactory_repository"):
        if getattr(settings, name) is None:
            yield Problem(
                GROUP_DATA, "", f'"{name}" is missing; the application needs it'
            )


def _path(settings: Settings) -> str:
    return settings.artifact_path.format(
        name=settings.app_name, version=settings.app_version
    )


def _ask(
    url: str,
    token: SecretStr | None,
    about: str,
    sleep: Callable[[float], None],
) -> requests.Response:
    """Ask until the answer is final, a few times at most."""
    for attempt in range(ATTEMPTS):
        last = attempt == ATTEMPTS - 1
        try:
            answer = requests.get(url, auth=_Bearer(token), timeout=TIMEOUT)
            if answer.status_code not in BUSY or last:
                return answer
        except requests.RequestException as error:
            if last:
                raise PortwayError(
                    f"{about}: Artifactory cannot be reached at {url} "
                    f"({_reason(error)})",
                    do=f"check artifactory_url in {GROUP_DATA} and the network from "
                    "here",
                ) from error
        sleep(2.0**attempt / 2)
    raise AssertionError("unreachable")


def _refuse_status(
    answer: requests.Response, settings: Settings, about: str, place: str
) -> None:
    """Raise for every answer but a description of the archive."""
    secret, status = settings.artifactory_token_secret, answer.status_code
    if status in (401, 403) and secret is not None:
        raise PortwayError(
            f"{about}: Artifactory refuses the token in the secret {secret} for "
            f"{place} (HTTP {status})",
            do="put a token there that may read the repository",
        )
    if status in (401, 403):
        raise PortwayError(
            f"{about}: Artifactory asks for a token for {place} (HTTP {status})",
            do="name a secret that holds one in artifactory_token_secret in "
            f"{GROUP_DATA}",
        )
    if status == 404:
        raise PortwayError(
            f"{about}: Artifactory has no {place}",
            do=f"check app_version, "
            f"artifactory_repository and artifact_path in {GROUP_DATA}",
        )
    if status != 200:
        raise PortwayError(
            f"{about}: Artifactory answers HTTP {status} for {place}",
            do="look at Artifactory's log",
        )


def _checksum(answer: requests.Response, about: str, place: str) -> str | None:
    """The SHA-256 in Artifactory's description of a file; None if it has none."""
    try:
        described: Any = answer.json()
        stated = described["checksums"].get("sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PortwayError(
            f"{about}: what answers for {place} is not Artifactory's storage API, or "
            f"it is a folder there",
            do=f"check artifactory_url and artifact_path in {GROUP_DATA}",
        ) from None
    return str(stated).lower() if stated else None


def _reason(error: requests.RequestException) -> str:
    """The innermost cause, which says it shortest."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(cause) or type(cause).__name__
