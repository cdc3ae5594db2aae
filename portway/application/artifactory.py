"""Finds a release in Artifactory, and the checksum it must have.

Every failure leaves it as a PortwayError. What opens Artifactory is in no error, URL or
log. Nodes download the archive themselves.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from portway.application.artifact_http import Answer, Asking
from portway.errors import GROUP_DATA, PortwayError, Problem, refuse_if_any
from portway.model.releases import Access, Release
from portway.model.settings import Settings

NOT_DESCRIBED = (401, 403, 404)
"""What the storage API may answer though the archive can be downloaded: a remote
repository has not cached it yet, or a proxy lets nobody ask for descriptions."""


def find_release(
    settings: Settings,
    access: Access,
    *,
    say: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Release:
    """The release that the settings ask for, with the checksum it must have.

    A checksum pinned in the settings wins, and must be the one that Artifactory gives.
    Raises PortwayError if a setting is missing, Artifactory does not know the archive,
    refuses the credential, gives another checksum or none, or cannot be reached.
    """
    refuse_if_any(_missing(settings))
    base = str(settings.artifactory_url).rstrip("/")
    place = f"{settings.artifactory_repository}/{_path(settings)}"
    about = f"{settings.app_name} {settings.app_version}"
    pinned = settings.artifact_sha256
    asking = Asking(
        access,
        about,
        trusts_plain_http=settings.artifactory_plain_http or pinned is not None,
        sleep=sleep,
    )
    with asking.ask(f"{base}/api/storage/{place}") as answer:
        is_described = answer.status not in NOT_DESCRIBED
        if is_described:
            _refuse_status(answer, settings, about, place)
            stated = _checksum(asking.described(answer), about, place)
    if not is_described:
        stated = _sum_of_download(asking, f"{base}/{place}", settings, place, say)
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


def _sum_of_download(
    asking: Asking,
    url: str,
    settings: Settings,
    place: str,
    say: Callable[[str], None],
) -> str | None:
    """The SHA-256 of an archive that can be downloaded, though it is not described.

    None if one is pinned and Artifactory gives none. Otherwise the archive is read
    once, which also makes a remote repository cache it.
    """
    with asking.ask(url, is_archive=True) as answer:
        _refuse_status(answer, settings, asking.about, place)
        kind = answer.response.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            raise PortwayError(
                f"{asking.about}: what answers for {place} is a web page, not an "
                "archive",
                do=f"check artifactory_url and artifact_path in {GROUP_DATA}",
            )
        if answer.stated_sum is not None or settings.artifact_sha256 is not None:
            return answer.stated_sum
        say(
            f"Artifactory does not describe {place}: reading it for its SHA-256, which "
            f"artifact_sha256 in {GROUP_DATA} would spare"
        )
        return asking.sha256_of(answer)


def _refuse_status(answer: Answer, settings: Settings, about: str, place: str) -> None:
    """Raise for every answer but a good one."""
    secret, status = settings.artifactory_token_secret, answer.status
    if answer.other and status != 200:
        raise PortwayError(
            f"{about}: {answer.other}, to which Artifactory redirects, answers HTTP "
            f"{status} for {place}",
            do="look at how Artifactory is set up to redirect downloads",
        )
    if status in (401, 403) and secret is not None:
        raise PortwayError(
            f"{about}: Artifactory refuses the credential in the secret {secret} for "
            f"{place} (HTTP {status})",
            do="put one there that may read the repository",
        )
    if status in (401, 403):
        raise PortwayError(
            f"{about}: Artifactory asks for a credential for {place} (HTTP {status})",
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


def _checksum(described: Any, about: str, place: str) -> str | None:
    """The SHA-256 in Artifactory's description of a file; None if it has none."""
    try:
        stated = described["checksums"].get("sha256")
    except (KeyError, TypeError, AttributeError):
        raise PortwayError(
            f"{about}: what answers for {place} is not Artifactory's storage API, or "
            f"it is a folder there",
            do=f"check artifactory_url and artifact_path in {GROUP_DATA}",
        ) from None
    return str(stated).lower() if stated else None
