"""Builds the vendor's archives: the same version always gives the same bytes."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

SOURCE = Path(__file__).parent / "message_app"
DRIVERS = ("asn1crypto", "pg8000", "pymysql", "python-dateutil", "scramp", "six")
BROKEN_VERSIONS = ("2.0.1",)
"""Releases that fail their health check."""

PROGRAMS = {"message-app": "message_app.__main__", "send-test": "message_app.send_test"}
PROGRAM = """#!/usr/bin/python3 -IB
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from {module} import main

main()
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive."""

    path: str
    content: bytes
    mode: int = 0o644


def build(version: str, folder: Path) -> Path:
    """Write the archive of one version into a folder, with its path's layout."""
    target = folder / archive_path(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive(entries(version), f"message-app-{version}"))
    return target


def archive_path(version: str) -> str:
    """Where the repository keeps a version."""
    return f"message-app/{version}/message-app-{version}.tar.gz"


def archive(content: Iterator[Entry], top: str) -> bytes:
    """A reproducible ``.tar.gz`` with everything under one folder."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(content, key=lambda e: e.path):
            member = tarfile.TarInfo(f"{top}/{entry.path}")
            member.size, member.mode = len(entry.content), entry.mode
            tar.addfile(member, io.BytesIO(entry.content))
    return gzip.compress(plain.getvalue(), mtime=0)


def sha256(path: Path) -> str:
    """A file's hash, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entries(version: str) -> Iterator[Entry]:
    """Everything in the archive of a version: programs, application and drivers."""
    for name, module in PROGRAMS.items():
        content = PROGRAM.format(module=module)
        yield Entry(f"bin/{name}", content.encode(), 0o755)
    marked = f'"""This release."""\n\nVERSION = "{version}"\n'
    marked += f"BROKEN = {version in BROKEN_VERSIONS}\n"
    for path in sorted(SOURCE.glob("*.py")):
        content = marked if path.name == "version.py" else path.read_text()
        yield Entry(f"lib/message_app/{path.name}", content.encode())
    for name in DRIVERS:
        yield from _installed(name)


def _installed(name: str) -> Iterator[Entry]:
    """The files of an installed distribution that it needs to run, and its licence."""
    for file in distribution(name).files or ():
        wanted = file.suffix == ".py" or file.name in ("METADATA", "LICENSE")
        if wanted and ".." not in file.parts:
            yield Entry(f"lib/{file.as_posix()}", Path(str(file.locate())).read_bytes())
