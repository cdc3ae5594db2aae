"""Downloads an archive to a new file and says what its SHA-256 is."""

import hashlib
import os
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from portway.node.releases.refused import RefusedError
from portway.node.releases.unpacking import CHUNK, need

ATTEMPTS = 3
SILENCE = 30
"""Seconds without a byte after which a download is given up."""

LONGEST_DOWNLOAD = 900


def download(url: str, archive: Path, sha256: str, token: str | None) -> None:
    """Download to a new file; what was received must have the sum."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            received = receive(url, archive, token)
            break
        except HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:
                raise RefusedError(
                    f"the server answered HTTP {error.code} for the download"
                ) from error
        except (HTTPException, URLError, TimeoutError, ConnectionError) as error:
            if attempt == ATTEMPTS:
                reason = getattr(error, "reason", error)
                raise RefusedError(f"the download failed: {reason}") from error
        time.sleep(attempt)
    if received != sha256:
        raise RefusedError(
            f"the download has the SHA-256 {received}, not {sha256}; the file was "
            "discarded"
        )


def receive(url: str, archive: Path, token: str | None) -> str:
    """Write what a URL answers to a new file and return its sum."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise RefusedError(
            "the download URL must be http or https: check artifactory_url"
        )
    request = HttpRequest(url)  # noqa: S310 - judged above
    if token is not None:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    deadline = time.monotonic() + LONGEST_DOWNLOAD
    digest, size = hashlib.sha256(), 0
    with (
        urlopen(request, timeout=SILENCE) as answer,  # noqa
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


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
