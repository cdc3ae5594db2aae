"""Fetches, switches and removes releases of the application on this node.

Reads one request from standard input, so that the token is in no command line,
environment or file. It trusts neither the download nor the archive: nothing is unpacked
before its SHA-256 is right and every member is harmless, nothing takes its final name
before it is complete, and what failed is cleaned up.
"""

import fcntl
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from portway.contract.paths import SUM_FILE
from portway.contract.release_requests import (
    Fetch,
    Remove,
    Request,
    Switch,
    from_json,
)

ATTEMPTS = 3
SILENCE = 30
"""Seconds without a byte after which a download is given up."""

LONGEST_DOWNLOAD = 900
LONGEST_WAIT = 60
"""Seconds to wait for another run that works on the same folder."""

RESERVE = 64 * 1024 * 1024
"""Bytes that must stay free for the running application."""

DAMAGED = (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError)
CHUNK = 1024 * 1024
MOST_LINKS = 40


class RefusedError(Exception):
    """Why it was not done, in one line."""


def fetch(folder: Path, version: str, url: str, sha256: str, token: str | None) -> None:
    """Download, verify and unpack a release beside the others."""
    releases = folder / "releases"
    target = releases / version
    if installed_sum(target) == sha256:
        return
    archive, unpacked = releases / ".download", releases / ".unpacked"
    try:
        download(url, archive, sha256, token)
        unpacked.mkdir(mode=0o755)
        unpack(archive, unpacked)
        root = only_folder(unpacked)
        root.chmod(0o755)
        (root / SUM_FILE).unlink(missing_ok=True)
        (root / SUM_FILE).write_text(f"{sha256}\n")
        subprocess.run(["sync", "-f", str(releases)], check=True)  # noqa: S603, S607
        if target.exists():  # the same version, published again
            target.rename(releases / ".replaced")
        root.rename(target)
    finally:
        remove_leftovers(releases)


def switch(folder: Path, version: str) -> None:
    """Make a release the current one, at once, and remember the one before."""
    if not (folder / "releases" / version / SUM_FILE).is_file():
        raise RefusedError(f"release {version} is not installed")
    current, wanted = folder / "current", f"releases/{version}"
    before = link_target(current)
    if before == wanted:
        return
    if before is not None:
        point(folder / "previous", before)
    point(current, wanted)


def remove(folder: Path, versions: Iterable[str]) -> None:
    """Remove releases, but neither the current nor the previous one."""
    for version in versions:
        used = [link_target(folder / name) for name in ("current", "previous")]
        if f"releases/{version}" not in used:
            # Renamed first, so that half a release is never taken for a whole one.
            removed = folder / "releases" / ".removed"
            if (folder / "releases" / version).exists():
                (folder / "releases" / version).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)
    remove_leftovers(folder / "releases")


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


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive whose members are all harmless."""
    try:
        with tarfile.open(archive) as tar:
            members = list(tar)
            judge(members)
            need(target, sum(member.size for member in members))
            for member in members:
                place(tar, member, target)
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise RefusedError(f"the archive cannot be read: {error}") from error


def judge(members: list[tarfile.TarInfo]) -> None:
    """Refuse an archive with any member that is not a file, folder or link inside it.

    Links are followed as the kernel would, through each other, so that no chain of
    harmless ones leads outside.
    """
    links: dict[str, str] = {}
    seen: dict[str, bool] = {}
    for member in members:
        name = "/".join(parts_of(member))
        if member.name.startswith("/") or ".." in member.name.split("/"):
            raise RefusedError(f"the archive has a path outside of it: {member.name!r}")
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise RefusedError(f"the archive has a device or pipe: {member.name!r}")
        if name in seen and not (seen[name] and member.isdir()):
            raise RefusedError(f"the archive has a path twice: {member.name!r}")
        seen[name] = member.isdir()
        if member.issym():
            links[name] = member.linkname
    for member in members:
        parts = parts_of(member)
        if any(not seen.get("/".join(parts[:n]), True) for n in range(1, len(parts))):
            raise RefusedError(
                f"the archive has a path through a link or file: {member.name!r}"
            )
        if member.issym():
            follow([*parts[:-1], *member.linkname.split("/")], member, links)
        if member.islnk():
            follow(member.linkname.split("/"), member, links)


def parts_of(member: tarfile.TarInfo) -> list[str]:
    """A member's path in parts."""
    return [part for part in member.name.split("/") if part not in ("", ".")]


def follow(path: list[str], member: tarfile.TarInfo, links: dict[str, str]) -> None:
    """Follow a link's path within the archive; refused where it leaves it."""
    outside = f"the archive has a link outside of it: {member.name!r}"
    if member.linkname.startswith("/"):
        raise RefusedError(outside)
    left, here = list(reversed(path)), list[str]()
    followed = 0
    while left:
        part = left.pop()
        if part == "..":
            if not here:
                raise RefusedError(outside)
            here.pop()
        elif part not in ("", "."):
            here.append(part)
            target = links.get("/".join(here))
            if target is not None:
                followed += 1
                if target.startswith("/") or followed > MOST_LINKS:
                    raise RefusedError(outside)
                here.pop()
                left.extend(reversed(target.split("/")))


def place(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Put one member below a folder: owned by root, and no more than executable."""
    path = target / member.name
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if member.isdir():
        path.mkdir(mode=0o755, exist_ok=True)
    elif member.issym():
        path.symlink_to(member.linkname)
    elif member.islnk():
        path.hardlink_to(
            target / member.linkname,
        )
    else:
        content = tar.extractfile(member)
        with path.open("xb") as file:
            if content is not None:
                shutil.copyfileobj(content, file, CHUNK)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)


def only_folder(unpacked: Path) -> Path:
    """The release's root: archives often hold everything under one folder."""
    entries = list(unpacked.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink():
        return entries[0]
    return unpacked


def need(folder: Path, size: int) -> None:
    """Refuse unless so many bytes, and the reserve, are free."""
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE:
        raise RefusedError(
            f"{folder} has {free // 2**20} MiB free; {(size + RESERVE) // 2**20} MiB "
            "are needed"
        )


def installed_sum(release: Path) -> str | None:
    """The sum of the archive that a release was unpacked from; None if unknown."""
    try:
        return (release / SUM_FILE).read_text().strip()
    except OSError:
        return None


def link_target(link: Path) -> str | None:
    """What a symbolic link points at; None if there is none."""
    return str(link.readlink()) if link.is_symlink() else None


def point(link: Path, target: str) -> None:
    """Make a symbolic link point somewhere else, at once."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


def remove_leftovers(releases: Path) -> None:
    """Remove what runs that were interrupted left behind, and nothing else."""
    for path in releases.glob(".*"):
        if path.name == ".lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@contextmanager
def locked(releases: Path) -> Iterator[None]:
    """Keep other runs away from the releases while inside."""
    with open(releases / ".lock", "w", opener=private) as lock:
        deadline = time.monotonic() + LONGEST_WAIT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RefusedError(
                        "another run is working on the releases: wait for it and run "
                        "again"
                    ) from None
                time.sleep(0.2)
        yield


def carry_out(request: Request) -> None:
    """Do what the request asks for."""
    folder = Path(request.folder)
    os.umask(0o022)
    (folder / "releases").mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(folder / "releases"):
        remove_leftovers(folder / "releases")
        match request:
            case Fetch(version=version, url=url, sha256=sha256, token=token):
                fetch(folder, version, url, sha256, token)
            case Switch(version=version):
                switch(folder, version)
            case Remove(versions=versions):
                remove(folder, versions)


def main() -> None:
    """Carry out the request on standard input; the exit says why if it cannot be."""
    try:
        carry_out(from_json(sys.stdin.read()))
    except RefusedError as refusal:
        sys.exit(f"{refusal}; the running version is untouched")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"{error.strerror}{where}; the running version is untouched")
