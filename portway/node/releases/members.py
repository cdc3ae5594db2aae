"""What is in an archive, whether it is a tar file or a zip file.

What a zip file may have and a release cannot, such as encryption, is refused here.
"""

import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import IO

from portway.node.releases.refused import RefusedError

ZIP_BEGINS = (b"PK\x03\x04", b"PK\x05\x06")
"""A zip file's first bytes; an empty one has only the second."""
FROM_UNIX = (3, 19)
"""Makers of zip files that give modes: Unix and macOS (APPNOTE.TXT, 4.4.2.2)."""
FROM_WINDOWS = (0, 10, 14)
READABLE = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)
METHODS = {9: "deflate64", 93: "zstd", 98: "ppmd"}
"""What else people's programs pack with."""
ENCRYPTED = 0x1
LONGEST_TARGET = 4096
"""Bytes of a path, and so of a link's target."""


class Kind(Enum):
    """What a member is."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()
    HARD_LINK = auto()
    OTHER = auto()
    """A device, a pipe or a socket."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive."""

    name: str
    kind: Kind
    size: int
    mode: int | None
    """Its permissions as they were packed; None if the archive has none."""
    target: str
    """Where a link leads."""
    open: Callable[[], IO[bytes]]
    """Opens the content of a file."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its path, part by part."""
        return tuple(part for part in self.name.split("/") if part not in ("", "."))

    @property
    def path(self) -> str:
        """Its path, written in one way only."""
        return "/".join(self.parts)


@contextmanager
def members_of(archive: Path) -> Iterator[list[Member]]:
    """The members of an archive, which can be opened while inside."""
    with archive.open("rb") as file:
        begins = file.read(4)
    if begins in ZIP_BEGINS:
        with zipfile.ZipFile(archive) as packed:
            yield [_from_zip(packed, info) for info in packed.infolist()]
        return
    try:
        tar = tarfile.open(archive)  # noqa: SIM115 - closed below
    except tarfile.ReadError as error:
        raise RefusedError(
            "the archive is neither a tar file (plain, gzip, bzip2 or xz) nor a zip "
            f"file: it begins with {begins!r}",
            "see what is at artifact_path, and have it packed as one of these",
        ) from error
    with tar:
        yield [_from_tar(tar, info) for info in tar]


def _from_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    kinds = {
        Kind.FILE: info.isreg(),
        Kind.FOLDER: info.isdir(),
        Kind.LINK: info.issym(),
        Kind.HARD_LINK: info.islnk(),
    }
    kind = next((kind for kind, is_it in kinds.items() if is_it), Kind.OTHER)
    return Member(
        info.name, kind, info.size, info.mode, info.linkname, partial(_open, tar, info)
    )


def _open(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    if content is None:
        raise ValueError(f"{info.name} has no content")
    return content


def _from_zip(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename
    if info.create_system in FROM_WINDOWS and "/" not in name:
        name = name.replace("\\", "/")
    mode = info.external_attr >> 16 if info.create_system in FROM_UNIX else 0
    kind = _zip_kind(mode, is_folder=name.endswith("/"))
    if info.flag_bits & ENCRYPTED:
        raise RefusedError(
            f"the archive is encrypted: {name!r}", "get one without a password"
        )
    if info.compress_type not in READABLE:
        method = METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise RefusedError(
            f"the archive is packed with {method}, which Python cannot read: {name!r}",
            "get one packed with deflate, which is the usual one",
        )
    target = ""
    if kind is Kind.LINK:
        if info.file_size > LONGEST_TARGET:
            raise ValueError(f"{name!r} is a link with a target too long")
        target = os.fsdecode(packed.read(info))
    permissions = stat.S_IMODE(mode) if mode else None
    opens = partial(packed.open, info)
    return Member(name, kind, info.file_size, permissions, target, opens)


def _zip_kind(mode: int, *, is_folder: bool) -> Kind:
    """The kind by the mode; without a type in it, by the slash that ends the name."""
    by_type = {
        stat.S_IFREG: Kind.FILE,
        stat.S_IFDIR: Kind.FOLDER,
        stat.S_IFLNK: Kind.LINK,
        0: Kind.FILE,
    }
    kind = by_type.get(stat.S_IFMT(mode), Kind.OTHER)
    return Kind.FOLDER if is_folder and kind is Kind.FILE else kind
