"""Fetches, switches and removes releases of the application on this node.

Reads one request from standard input, so that what opens the server is in no command
line, environment or file. It trusts neither the download nor the archive: nothing is
unpacked before its SHA-256 is right and every member is harmless, nothing takes its
final name before it is complete, and what failed is cleaned up.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from portway.contract.paths import SUM_FILE
from portway.contract.release_requests import (
    Fetch,
    Remove,
    Request,
    Switch,
    from_json,
)
from portway.node.releases.download import download, private
from portway.node.releases.programs import refuse_missing
from portway.node.releases.refused import RefusedError
from portway.node.releases.unpacking import unpack

LONGEST_WAIT = 60
"""Seconds to wait for another run that works on the same folder."""
UNTOUCHED = "the running version is untouched"


def fetch(folder: Path, wanted: Fetch) -> None:
    """Download, verify and unpack a release beside the others."""
    releases = folder / "releases"
    target = releases / wanted.version
    if installed_sum(target) == wanted.sha256:
        refuse_missing(target, wanted.programs, folder)
        return
    archive, unpacked = releases / ".download", releases / ".unpacked"
    try:
        download(wanted, archive)
        unpacked.mkdir(mode=0o700)
        inside = unpacked / "release"
        inside.mkdir(mode=0o755)
        root = unpack(archive, inside, wanted.links)
        refuse_missing(root, wanted.programs, folder)
        if wanted.rehearse:
            return
        (root / SUM_FILE).unlink(missing_ok=True)
        (root / SUM_FILE).write_text(f"{wanted.sha256}\n")
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
            case Fetch() as wanted:
                fetch(folder, wanted)
            case Switch(version=version):
                switch(folder, version)
            case Remove(versions=versions):
                remove(folder, versions)


def main() -> None:
    """Carry out the request on standard input; the exit says why if it cannot be."""
    try:
        carry_out(from_json(sys.stdin.read()))
    except RefusedError as refusal:
        sys.exit("\n".join(filter(None, (f"{refusal}; {UNTOUCHED}", refusal.do))))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        sys.exit(f"{error.strerror}{where}; {UNTOUCHED}")
