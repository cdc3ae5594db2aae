"""This project as somebody's own repository, for releases of it."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Made = Callable[[Path], object]
ROOT = Path(__file__).parents[3]


def git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=Anna", "-c", "user.email=anna@example.com")
    command = ["git", "-C", str(folder), *own, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "as it is")
    return git(folder, "rev-parse", "HEAD").strip()


def shared(factory: pytest.TempPathFactory, name: str, make: Made) -> Path:
    """A folder that is made once, if tests run in several processes."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = base / f"{name}.part"
            make(part)
            part.rename(folder)
    return folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project as it is now, as somebody's own repository."""
    return shared(tmp_path_factory, "original", copy)


def copy(folder: Path) -> None:
    """Copy the files that git has or could have, and commit them."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    git(folder, "init", "-q")
    commit(folder)
