"""The files of a checkout that a release has: those that git has."""

from dataclasses import dataclass
from pathlib import Path

from portway.errors import PortwayError, first_of
from portway.model.deployed import Checkout
from portway.run.checkout import git, read_checkout

NOT_NEEDED = ("acceptance", "bench", "docs", "lab", "monitoring", "tests")
"""Folders that no run reads."""
READ_WHOLE = ("deploys", "group_data", "inventories", "portway", "templates")
"""Folders of which a run reads files whether git has them or not."""
PROGRAM, LINK, SUBMODULE = "100755", "120000", "160000"
"""Kinds of entries, as git has them."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a checkout."""

    path: str
    """Below its folder."""
    content: bytes
    is_program: bool


def read_files(
    folder: Path, *, uncommitted: bool
) -> tuple[Checkout, tuple[SourceFile, ...]]:
    """What a checkout is, and its files as they are now, by path.

    PortwayError if it is none. Unless ``uncommitted`` files are wanted, also if any
    differs from the commit, or git does not have one that a run would read.
    """
    checkout = read_checkout(folder)
    if checkout.commit is None:
        raise PortwayError(
            f"{folder} is not a commit of a git repository",
            why="a release is named after its commit",
            do="git init && git add --all && git commit",
        )
    others = _others(folder)
    if not uncommitted and (checkout.changed or others):
        listed = git(folder, "status", "--porcelain", "--untracked-files=no") or ""
        changed = [line[3:] for line in f" {listed}".splitlines()] if listed else []
        raise PortwayError(
            f"not committed: {first_of([*others, *changed])}",
            why="nobody could tell from the commit what such a release deploys",
            do="commit it, or add --uncommitted to have it in the release as it is",
        )
    listed = git(folder, "ls-files", "--stage", "-z") or ""
    entries = [entry.split("\t", 1) for entry in listed.split("\0") if entry]
    modes = {path: kind.split(" ")[0] for kind, path in entries}
    modes |= dict.fromkeys(others, "")
    files = [
        _read(folder, path, mode)
        for path, mode in sorted(modes.items())
        if path.split("/")[0] not in NOT_NEEDED
    ]
    return checkout, tuple(file for file in files if file is not None)


def _others(folder: Path) -> list[str]:
    """Files that runs from here read and git does not have.

    What git ignores counts where people put files: pyinfra reads it all the same.
    """
    here = [name for name in READ_WHOLE if (folder / name).is_dir()]
    new = git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", *here)
    ignored = git(folder, "ls-files", "--others", "-z", "--", "group_data/*.py")
    found = f"{new or ''}\0{ignored or ''}".split("\0")
    return sorted({path for path in found if path})


def _read(folder: Path, path: str, mode: str) -> SourceFile | None:
    """One file; None if it was removed without a commit."""
    if mode == SUBMODULE:
        raise PortwayError(
            f"{path} is a submodule, which a release cannot have",
            do="copy its files into the repository",
        )
    file = folder / path
    if mode == LINK and not file.resolve().is_relative_to(folder.resolve()):
        raise PortwayError(
            f"{path} is a link to {file.readlink()}, outside of the repository",
            do="replace it with the file",
        )
    try:
        is_program = bool(file.stat().st_mode & 0o100) if not mode else mode == PROGRAM
        return SourceFile(path, file.read_bytes(), is_program)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PortwayError(f"{path} cannot be read ({error.strerror})") from error
