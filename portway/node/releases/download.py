"""Downloads an archive to a new file and says what its SHA-256 is.

The request has the SHA-256 that it must be, so redirects are followed to plain http,
too. What opens the server is sent to the server of the URL, and to no other that it
redirects to. Where it redirects to is in no error but for the host: it may be signed.
"""

import hashlib
import os
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    Request,
    build_opener,
)

from portway.contract.artifact_access import (
    MOST_REDIRECTS,
    is_same_server,
    shown,
    tls_context,
    why_not_followed,
)
from portway.contract.release_requests import Fetch
from portway.node.releases.refused import RefusedError
from portway.node.releases.unpacking import CHUNK, need

ATTEMPTS = 3
BUSY = 429
REDIRECTS = (301, 302, 303, 307, 308)
CHECK_URL = "check artifactory_url, and Artifactory's own base URL"
SILENCE = 60
"""Seconds without a byte after which a download is given up: a repository that must get
the archive from elsewhere first takes its time."""

LONGEST_DOWNLOAD = 900
BROKEN = (HTTPException, URLError, TimeoutError, ConnectionError, ValueError)


class Redirects(HTTPRedirectHandler):
    """Follows redirects; only the server of the first URL gets the headers."""

    # Its own limits, whose error quotes the URL, are never reached.
    max_redirections = max_repeats = MOST_REDIRECTS + 1

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url, self.headers = url, headers

    def redirect_request(self, req: Request, *answer: Any) -> Request | None:
        """The request that follows a redirect, whose URL is the last argument."""
        url: str = answer[-1]
        if reason := why_not_followed(req.full_url, url):
            raise RefusedError(f"the download was refused: {reason}", CHECK_URL)
        followed = sum(getattr(req, "redirect_dict", {}).values())
        if followed >= MOST_REDIRECTS:
            raise RefusedError(
                f"{shown(self.url)} redirects more than {MOST_REDIRECTS} times",
                "check artifactory_url",
            )
        follows = super().redirect_request(req, *answer)
        if follows is not None and is_same_server(self.url, url):
            self.show(follows)
        return follows

    def show(self, request: Request) -> None:
        """Add the headers to a request; a redirect does not copy them."""
        for name, value in self.headers.items():
            request.add_unredirected_header(name, value)


def download(wanted: Fetch, archive: Path) -> None:
    """Download to a new file; what was received must have the sum."""
    redirects = Redirects(wanted.url, wanted.headers)
    context = tls_context(wanted.authorities)
    opener = build_opener(redirects, HTTPSHandler(context=context))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            received = receive(wanted.url, archive, opener, redirects)
            break
        except HTTPError as error:
            if attempt == ATTEMPTS or (error.code < 500 and error.code != BUSY):
                raise refusal_of(error, wanted.url) from error
        except BROKEN as error:
            if attempt == ATTEMPTS or is_unverified(error):
                raise broken(error) from error
        time.sleep(attempt)
    if received != wanted.sha256:
        raise RefusedError(
            f"the download has the SHA-256 {received}, not {wanted.sha256}; the file "
            "was discarded"
        )


def receive(
    url: str, archive: Path, opener: OpenerDirector, redirects: Redirects
) -> str:
    """Write what a URL answers to a new file and return its sum."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise RefusedError(
            "the download URL must be http or https: check artifactory_url"
        )
    request = Request(url)  # noqa: S310 - judged above
    redirects.show(request)
    deadline = time.monotonic() + LONGEST_DOWNLOAD
    digest, size = hashlib.sha256(), 0
    with (
        opener.open(request, timeout=SILENCE) as answer,
        open(archive, "wb", opener=private) as file,
    ):
        length = int(answer.headers.get("Content-Length") or 0)
        need(archive.parent, length)
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"the download took longer than {LONGEST_DOWNLOAD} s"
                )
    if size < length:
        raise ConnectionError(f"the download ended after {size} of {length} bytes")
    return digest.hexdigest()


def refusal_of(error: HTTPError, url: str) -> RefusedError:
    """What an answer that is no archive means."""
    said = f"the server answered HTTP {error.code} for the download"
    if error.code in REDIRECTS:
        return RefusedError(
            f"the download was refused: {shown(url)} redirects to what is no http or "
            "https address",
            CHECK_URL,
        )
    if is_same_server(url, error.url):
        return RefusedError(said)
    return RefusedError(
        f"{said}: that is {shown(error.url)}, to which {shown(url)} redirects"
    )


def broken(error: Exception) -> RefusedError:
    """Why a download ended early."""
    if is_unverified(error):
        do = (
            "if an authority of your own issued the server's certificate, set "
            "artifactory_ca_file"
        )
    elif isinstance(error, (InvalidURL, ValueError)):
        # They quote the path, which may be signed.
        return RefusedError(f"the download failed: {type(error).__name__}", CHECK_URL)
    else:
        do = ""
    return RefusedError(f"the download failed: {getattr(error, 'reason', error)}", do)


def is_unverified(error: Exception) -> bool:
    """Whether the server's certificate was refused, which no second try changes."""
    return isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
