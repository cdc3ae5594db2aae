"""Unpacks an archive: owned by root, and never with more rights than were packed.

Only root itself can always read what is in it: not every packer gives modes.
"""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from portway.node.releases.judging import judge
from portway.node.releases.members import Kind, Member, members_of
from portway.node.releases.refused import RefusedError

DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
)
CHUNK = 1024 * 1024
RESERVE = 64 * 1024 * 1024
"""Bytes that must stay free for the running application."""

RIGHTS = 0o755
"""No write access for others, no set-user-id."""
PROGRAM_BEGINS = (b"#!", b"\x7fELF")
"""What the kernel starts."""

FROM_A_MAC = ("__MACOSX", ".DS_Store")


def unpack(archive: Path, target: Path, allowed: Sequence[str] = ()) -> Path:
    """Unpack an archive whose members are all harmless; returns the release's root.

    That is the archive's one folder, if it holds everything. ``allowed`` are absolute
    paths that links may lead to.
    """
    try:
        with members_of(archive) as members:
            judge(members, allowed)
            kept = without_mac_files(members)
            need(target, sum(member.size for member in kept))
            for member in kept:
                place(member, target)
            set_folder_modes(kept, target)
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise RefusedError(f"the archive cannot be read: {error}") from error
    return only_folder(target)


def without_mac_files(members: list[Member]) -> list[Member]:
    """Leave out what macOS adds to archives: ``__MACOSX``, ``._name`` beside name."""
    paths = {
        "/".join(member.parts[:n])
        for member in members
        for n in range(1, len(member.parts) + 1)
    }

    def is_added(member: Member) -> bool:
        *above, name = member.parts or ("",)
        beside = "/".join([*above, name.removeprefix("._")])
        return (
            member.parts[:1] == FROM_A_MAC[:1]
            or name in FROM_A_MAC[1:]
            or (name.startswith("._") and (name == "._." or beside in paths))
        )

    return [member for member in members if not is_added(member)]


def place(member: Member, target: Path) -> None:
    """Put one member below a folder."""
    path = target / member.path
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if member.kind is Kind.FOLDER:
        path.mkdir(mode=0o755, exist_ok=True)
    elif member.kind is Kind.LINK:
        path.symlink_to(member.target)
    elif member.kind is Kind.HARD_LINK:
        path.hardlink_to(target / member.target)
    else:
        with member.open() as content, path.open("xb") as file:
            begins = content.read(4)
            file.write(begins)
            shutil.copyfileobj(content, file, CHUNK)
        packed = member.mode
        if packed is None:
            packed = 0o755 if begins.startswith(PROGRAM_BEGINS) else 0o644
        path.chmod(packed & RIGHTS | 0o400)


def set_folder_modes(members: list[Member], target: Path) -> None:
    """Give folders their modes, when everything is in them; root can use each."""
    for member in members:
        if member.kind is Kind.FOLDER and member.mode is not None:
            (target / member.path).chmod(member.mode & RIGHTS | 0o700)


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
