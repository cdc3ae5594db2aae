"""Builds a release: one archive with a checkout and everything that it needs.

The same commit gives the same bytes: the order, the times and the owners of what is in
it come from the commit, and nothing in it is compressed twice.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from portway.agent.checkout import SourceFile, read_files
from portway.agent.wheels import LOCK, download
from portway.contract.archives import (
    DEBIAN,
    MANIFEST,
    PROGRAMS,
    PROJECT,
    WHEELS,
    Manifest,
)
from portway.errors import PortwayError
from portway.model.deployed import Checkout

DIGITS = 12
"""Of a commit and of a SHA-256, in a name."""
CHECK_SECONDS = 120
MAINS = {"pyinfra": "pyinfra_cli.main", "portway": "portway.cli.main"}
"""The programs of a release, and the module that has the ``main`` of each."""
PROGRAM = '''\
#!/usr/bin/python3 -I
"""Starts {name} of this release; of this machine it needs only Python."""

import sys
from pathlib import Path

release = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(release / "{project}"))

from portway.node.agent.environment import enter

enter(release)

from {module} import main

sys.exit(main())
'''


@dataclass(frozen=True, slots=True)
class Built:
    """An archive that was built."""

    file: Path
    version: str
    sha256: str
    size: int
    """Bytes."""


def build(
    folder: Path, machines: Sequence[str], to: Path, *, uncommitted: bool
) -> Built:
    """Build a release of the checkout in a folder, into the folder ``to``.

    ``machines`` are names of ``DEBIAN``. PortwayError if something is not committed
    and ``uncommitted`` is not wanted, if ``portway check`` finds something in what the
    release has, or if a wheel cannot be had.
    """
    checkout, files = read_files(folder, uncommitted=uncommitted)
    version = _version(checkout)
    with tempfile.TemporaryDirectory(prefix="portway-release-") as scratch:
        _check(files, Path(scratch) / "check")
        wheels = {
            name: download(folder / LOCK, DEBIAN[name], Path(scratch) / name)
            for name in sorted(set(machines))
        }
        manifest = Manifest(
            version=version,
            portway=checkout.portway,
            commit=str(checkout.commit),
            committed_at=checkout.committed_at,
            changed=checkout.changed,
            wheels=wheels,
        )
        try:
            return _write(manifest, files, Path(scratch), to)
        except OSError as error:
            raise PortwayError(f"{to} cannot be written ({error.strerror})") from error


def _version(checkout: Checkout) -> str:
    changed = "-changed" if checkout.changed else ""
    return f"{checkout.portway}-{str(checkout.commit)[:DIGITS]}{changed}"


def _check(files: Iterable[SourceFile], folder: Path) -> None:
    """Refuse what ``portway check`` refuses, in the files that the release has."""
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    result = subprocess.run(
        [sys.executable, "-m", "portway.cli.main", "check"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CHECK_SECONDS,
        check=False,
    )
    if result.returncode:
        raise PortwayError(
            "portway check refuses what the release would have",
            why=(result.stdout or result.stderr).strip().replace("\n", "\n  "),
        )


def _write(
    manifest: Manifest, files: Iterable[SourceFile], scratch: Path, to: Path
) -> Built:
    """Write the archive beside where it will be, then give it its name."""
    to.mkdir(parents=True, exist_ok=True)
    part = to / f".portway-{os.getpid()}.tar"
    try:
        with part.open("wb") as output:
            _pack(output, manifest, files, scratch)
            output.flush()
            os.fsync(output.fileno())
        with part.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        file = to / f"portway-{manifest.version}-{digest[:DIGITS]}.tar"
        size = part.stat().st_size
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return Built(file, manifest.version, digest, size)


def _pack(
    output: io.BufferedWriter,
    manifest: Manifest,
    files: Iterable[SourceFile],
    scratch: Path,
) -> None:
    top = f"portway-{manifest.version}"
    text = json.dumps(manifest.to_dict(), indent=2) + "\n"
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as tar:

        def add(path: str, size: int, *, is_program: bool = False) -> tarfile.TarInfo:
            info = tarfile.TarInfo(f"{top}/{path}")
            info.size, info.mtime = size, manifest.committed_at
            info.mode = 0o755 if is_program else 0o644
            return info

        def put(path: str, content: bytes, *, is_program: bool = False) -> None:
            info = add(path, len(content), is_program=is_program)
            tar.addfile(info, io.BytesIO(content))

        put(MANIFEST, text.encode())
        for name, program in programs().items():
            put(f"{PROGRAMS}/{name}", program.encode(), is_program=True)
        for file in files:
            put(f"{PROJECT}/{file.path}", file.content, is_program=file.is_program)
        for name, wheel in sorted(_wheels(manifest.wheels, scratch).items()):
            with wheel.open("rb") as content:
                tar.addfile(add(f"{WHEELS}/{name}", wheel.stat().st_size), content)


def programs() -> dict[str, str]:
    """The text of each program of a release, by its name."""
    return {
        name: PROGRAM.format(name=name, module=module, project=PROJECT)
        for name, module in MAINS.items()
    }


def _wheels(wheels: Mapping[str, Sequence[str]], scratch: Path) -> dict[str, Path]:
    """Each wheel once, by its name: several machines may need the same."""
    return {
        name: scratch / machine / name
        for machine, names in wheels.items()
        for name in names
    }
