"""The files of a checkout that a release has: those that git has."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from portway.errors import PortwayError, first_of
from portway.model.deployed import Checkout
from portway.run.checkout import git_bytes, read_checkout

NOT_NEEDED = ("acceptance", "bench", "docs", "lab", "monitoring", "tests")
"""Folders that no run reads."""
READ_ANYWAY = ("group_data/*.py", "inventories/*.py")
"""What pyinfra reads though git ignores it."""
PROGRAM, LINK, SUBMODULE = "100755", "120000", "160000"
"""Kinds of entries, as git has them."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a checkout."""

    path: str
    """Below its folder."""
    content: bytes
    is_program: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """What git's index has at a path."""

    kind: str
    blob: str


def read_files(
    folder: Path, *, uncommitted: bool
) -> tuple[Checkout, tuple[SourceFile, ...]]:
    """What a checkout is, and its files as git has them, by path.

    PortwayError if it is none. Unless ``uncommitted`` files are wanted, which are read
    as they are now, also if any differs from the commit, or git does not have it.
    """
    if not (folder / "portway" / "__init__.py").is_file():
        raise PortwayError(
            f"{folder} is no checkout of Portway",
            do="call it in the folder of your checkout",
        )
    checkout = read_checkout(folder)
    if checkout.commit is None:
        raise PortwayError(
            f"{folder} is not a commit of a git repository",
            why="a release is named after its commit",
            do="git init && git add --all && git commit",
        )
    others = tuple(_others(folder))
    if checkout.changed or others:
        changed = [*others, *_lines(folder, "diff", "--name-only", "-z", "HEAD")]
        if not uncommitted:
            raise PortwayError(
                f"not committed: {first_of(changed)}",
                why="nobody could tell from the commit what such a release deploys",
                do="commit it, or add --uncommitted to have it in the release as it is",
            )
        checkout = replace(checkout, changed=True)
    entries = {path: e for path, e in _entries(folder) if _is_needed(path)}
    if uncommitted:
        files = tuple(_files_now(folder, entries, others))
    else:
        files = tuple(_files_of_the_commit(folder, entries))
    return checkout, tuple(sorted(files, key=lambda file: file.path))


def _is_needed(path: str) -> bool:
    return path.split("/", maxsplit=1)[0] not in NOT_NEEDED


def _lines(folder: Path, *words: str) -> list[str]:
    """What git lists with ``-z``. PortwayError if it does not."""
    found = git_bytes(folder, *words)
    if found is None:
        raise PortwayError(f"git {' '.join(words)} failed in {folder}")
    return [os.fsdecode(name) for name in found.split(b"\0") if name]


def _entries(folder: Path) -> Iterator[tuple[str, _Entry]]:
    for line in _lines(folder, "ls-files", "--stage", "-z"):
        kind, _, path = line.partition("\t")
        mode, blob, _ = kind.split(" ")
        if mode == SUBMODULE and _is_needed(path):
            raise PortwayError(
                f"{path} is a submodule, which a release cannot have",
                do="copy its files into the repository",
            )
        yield path, _Entry(mode, blob)


def _others(folder: Path) -> Iterator[str]:
    """Files that runs from here may read and git does not have."""
    listing = ("ls-files", "--others", "-z")
    found = _lines(folder, *listing, "--exclude-standard")
    found += _lines(folder, *listing, "--", *READ_ANYWAY)
    return (path for path in sorted(set(found)) if _is_needed(path))


def _files_of_the_commit(
    folder: Path, entries: Mapping[str, _Entry]
) -> Iterator[SourceFile]:
    """The files byte for byte as git has them, whatever became of them here."""
    blobs = _blobs(folder, sorted({entry.blob for entry in entries.values()}))
    for path, entry in entries.items():
        content = blobs[entry.blob]
        if entry.kind == LINK:
            target = os.path.normpath(PurePosixPath(path).parent / os.fsdecode(content))
            entry = entries.get(target, entry)  # noqa: PLW2901 - what is linked to
            content = blobs[entry.blob]
        if entry.kind == LINK:
            raise PortwayError(
                f"{path} is a link to {os.fsdecode(content)}, which is no file of the "
                "repository that a release has",
                do="replace it with the file",
            )
        yield SourceFile(path, content, entry.kind == PROGRAM)


def _blobs(folder: Path, names: list[str]) -> dict[str, bytes]:
    asked = "".join(f"{name}\n" for name in names).encode()
    said = git_bytes(folder, "cat-file", "--batch", stdin=asked)
    if said is None:
        raise PortwayError(f"git cat-file failed in {folder}")
    found, at = {}, 0
    for name in names:
        end = said.index(b"\n", at)
        _, kind, size = said[at:end].split(b" ")
        if kind != b"blob":
            raise PortwayError(f"git has no file {name}", do="git fsck")
        found[name] = said[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found


def _files_now(
    folder: Path, entries: Mapping[str, _Entry], others: tuple[str, ...]
) -> Iterator[SourceFile]:
    """The files as they are in the folder."""
    removed = set(_lines(folder, "ls-files", "--deleted", "-z"))
    for path in {*entries, *others} - removed:
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            raise PortwayError(
                f"{path} is a link to {file.readlink()}, outside of the repository",
                do="replace it with the file",
            )
        try:
            is_program = bool(file.stat().st_mode & 0o100)
            yield SourceFile(path, file.read_bytes(), is_program)
        except OSError as error:
            raise PortwayError(f"{path} cannot be read ({error.strerror})") from error
