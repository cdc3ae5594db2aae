"""The packages that a release brings: unpacked when they are first needed.

Wheels are zip files; unpacking them is all that installing them takes, because the
build refuses those that want more. An environment takes its name when it is whole.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portway.contract.archives import (
    DEBIAN,
    ENVIRONMENTS,
    MANIFEST,
    WHEELS,
    Environment,
    Manifest,
)

DAMAGED = (
    OSError,
    subprocess.CalledProcessError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
)


class CannotStartError(Exception):
    """Why this release cannot start on this machine."""


def enter(release: Path) -> None:
    """Have Python find the packages of a release before any others.

    Ends the program with the reason if it cannot be done.
    """
    os.environ.pop("VIRTUAL_ENV", None)  # pyinfra would put its packages first
    try:
        sys.path.insert(1, str(prepared(release)))
    except CannotStartError as error:
        sys.exit(f"{release.name}: {error}")


def prepared(release: Path) -> Path:
    """The folder with the packages for this machine, which it makes if need be.

    CannotStartError if the release has none for it, or they cannot be unpacked.
    """
    name, wheels = _wanted(release)
    folder = release / ENVIRONMENTS / name
    before = os.umask(0o022)  # whoever starts it first does so for all
    try:
        if not folder.is_dir():
            folder.parent.mkdir(exist_ok=True)
            with _locked(folder.parent):
                if not folder.is_dir():
                    _unpack([release / WHEELS / wheel for wheel in wheels], folder)
    except DAMAGED as error:
        raise CannotStartError(f"its packages cannot be unpacked: {error}") from error
    finally:
        os.umask(before)
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have others wait who start the same release."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _wanted(release: Path) -> tuple[str, tuple[str, ...]]:
    """The name of this machine's environment, and its wheels."""
    try:
        manifest = Manifest.from_dict(json.loads((release / MANIFEST).read_text()))
    except (OSError, ValueError) as error:
        raise CannotStartError(f"{MANIFEST} cannot be read: {error}") from error
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    here = Environment(version, platform.machine())
    for name, wheels in manifest.wheels.items():
        if DEBIAN.get(name) == here:
            return name, tuple(wheels)
    raise CannotStartError(
        f"it is for {', '.join(manifest.wheels)}; this machine has Python "
        f"{here.python} on {here.machine}"
    )


def _unpack(wheels: list[Path], folder: Path) -> None:
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)  # an interrupted one
    part.mkdir()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(part)
    subprocess.run(["sync", "-f", str(part)], check=True)  # noqa: S603, S607
    part.rename(folder)
