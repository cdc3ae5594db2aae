"""The way back to an older version, as its document has it."""

import re
import shlex
import subprocess
from pathlib import Path

from tests.unit.documents.reading import PROJECT

OLDER = "f3e6ab589a8999257aab8f2fa7c7d656ace4f5b0"
"""Release 0.1.0."""


def git(folder: Path, *words: str) -> str:
    return subprocess.check_output(("git", "-C", str(folder), *words), text=True)


def test_command_leaves_the_older_version_s_files_and_no_other(tmp_path: Path) -> None:
    text = (PROJECT / "docs" / "upgrading.md").read_text()
    (command,) = re.findall(r"(?m)^git (checkout .*COMMIT.* -- .*)$", text)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--shared", str(PROJECT), str(clone))
    git(clone, *shlex.split(command.replace("COMMIT", OLDER)))
    for folder in ("portway", "deploys", "templates", "config.py", "pyproject.toml"):
        files = git(clone, "ls-files", folder)
        assert files == git(clone, "ls-tree", "-r", "--name-only", OLDER, folder)
        assert all((clone / name).exists() for name in files.splitlines())
    assert (clone / "docs").exists(), "the operator's other files stay"
