"""What this run deploys from: Portway's version, and a git commit if there is one."""

import subprocess
import tomllib
from pathlib import Path

from portway.model.deployed import Checkout

PROJECT = Path(__file__).parents[2]
ANSWER_SECONDS = 30


def read_checkout(folder: Path = PROJECT) -> Checkout:
    """The checkout that a folder is; it works without git."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    version = str(project["project"]["version"])
    # A copy may lie in somebody else's repository.
    if _git(folder, "ls-files", "--error-unmatch", "portway/__init__.py") is None:
        return Checkout(version)
    commit, _, time = (_git(folder, "log", "-1", "--format=%H %ct") or "").partition(
        " "
    )
    if not time.isdecimal():
        return Checkout(version)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Checkout(version, commit, int(time), changed != "")


def contains(older: str, newer: str, folder: Path = PROJECT) -> bool | None:
    """Whether ``newer`` has ``older`` in its history; None if one is unknown."""
    if any(
        _git(folder, "cat-file", "-e", f"{c}^{{commit}}") is None
        for c in (older, newer)
    ):
        return None
    return _git(folder, "merge-base", "--is-ancestor", older, newer) is not None


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None if it fails, or is not installed."""
    # The repository may belong to another user; its Python code runs anyway.
    options = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
    try:
        result = subprocess.run(  # noqa: S603 - whoever runs it chose the folder
            ["git", "-C", str(folder), *options, *words],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
