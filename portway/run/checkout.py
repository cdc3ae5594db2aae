"""What this run deploys from: Portway's version, and a git commit if there is one."""

import json
import subprocess
import tomllib
from pathlib import Path

from portway.contract.archives import MANIFEST, Manifest
from portway.contract.archives import PROJECT as RELEASED
from portway.model.deployed import COMMIT, Checkout

PROJECT = Path(__file__).parents[2]
ANSWER_SECONDS = 30


def read_checkout(folder: Path = PROJECT) -> Checkout:
    """The checkout that a folder is, or that a release was made of.

    It works without git.
    """
    version = project_version(folder)
    # A copy may lie in somebody else's repository.
    if git(folder, "ls-files", "--error-unmatch", "portway/__init__.py") is None:
        return _released(folder) or Checkout(version)
    commit, _, time = (git(folder, "log", "-1", "--format=%H %ct") or "").partition(" ")
    if not time.isdecimal():
        return Checkout(version)
    changed = git(folder, "status", "--porcelain", "--untracked-files=no")
    return Checkout(version, commit, int(time), changed != "")


def project_version(folder: Path = PROJECT) -> str:
    """Portway's version, as the project's own file has it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def _released(folder: Path) -> Checkout | None:
    """The checkout that a release was made of, if the folder is in one."""
    if folder.name != RELEASED:
        return None
    try:
        found = Manifest.from_dict(json.loads((folder.parent / MANIFEST).read_text()))
    except (OSError, ValueError):
        return None
    if not COMMIT.fullmatch(found.commit):  # git gets it as an argument
        return None
    return Checkout(found.portway, found.commit, found.committed_at, found.changed)


def contains(older: str, newer: str, folder: Path = PROJECT) -> bool | None:
    """Whether ``newer`` has ``older`` in its history; None if one is unknown."""
    if any(
        git(folder, "cat-file", "-e", f"{c}^{{commit}}") is None for c in (older, newer)
    ):
        return None
    return git(folder, "merge-base", "--is-ancestor", older, newer) is not None


def git(folder: Path, *words: str) -> str | None:
    """What git prints, stripped; None if it fails, or is not installed."""
    found = git_bytes(folder, *words)
    return None if found is None else found.decode(errors="surrogateescape").strip()


def git_bytes(folder: Path, *words: str, stdin: bytes = b"") -> bytes | None:
    """What git prints, byte for byte, in the same way."""
    # The repository may belong to another user; its Python code runs anyway.
    options = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
    try:
        result = subprocess.run(  # noqa: S603 - whoever runs it chose the folder
            ["git", "-C", str(folder), *options, *words],  # noqa: S607
            input=stdin,
            capture_output=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
