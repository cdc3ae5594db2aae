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
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import BinaryIO

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
    try:
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
    except subprocess.TimeoutExpired:
        raise PortwayError(
            f"portway check takes longer than {CHECK_SECONDS} s"
        ) from None
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
    text = json.dumps(manifest.to_dict(), indent=2) + "\n"
    members = [
        SourceFile(MANIFEST, text.encode(), is_program=False),
        *(
            SourceFile(f"{PROGRAMS}/{name}", program.encode(), is_program=True)
            for name, program in _programs().items()
        ),
        *(replace(file, path=f"{PROJECT}/{file.path}") for file in files),
    ]
    executable = {member.path for member in members if member.is_program}
    wheels = {f"{WHEELS}/{n}": f for n, f in _wheels(manifest.wheels, scratch).items()}
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as tar:

        def add(path: PurePath | str, content: BinaryIO | None, size: int) -> None:
            top = f"portway-{manifest.version}"
            info = tarfile.TarInfo(str(PurePath(top, path)))
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.mode = 0o755 if content is None or path in executable else 0o644
            info.size, info.mtime = size, manifest.committed_at
            tar.addfile(info, content)

        paths = [*(member.path for member in members), *wheels]
        for folder in sorted({f for path in paths for f in PurePath(path).parents}):
            add(folder, None, 0)
        for member in members:
            add(member.path, io.BytesIO(member.content), len(member.content))
        for path, wheel in sorted(wheels.items()):
            with wheel.open("rb") as content:
                add(path, content, wheel.stat().st_size)


def _programs() -> dict[str, str]:
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
