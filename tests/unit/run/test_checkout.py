"""What git says about the folder that a run deploys from."""

import subprocess
from pathlib import Path

import pytest

from portway.run.checkout import contains, read_checkout


def git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=Anna", "-c", "user.email=anna@example.com")
    command = ["git", "-C", str(folder), *own, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a project that is no repository."""
    folder = tmp_path / "copy"
    (folder / "portway").mkdir(parents=True)
    (folder / "portway" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    return folder


def commit(folder: Path, text: str) -> str:
    (folder / "text").write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", text)
    return git(folder, "rev-parse", "HEAD").strip()


def test_copy_without_git_has_a_version_only(copy: Path) -> None:
    checkout = read_checkout(copy)
    assert (checkout.portway, checkout.commit) == ("1.2.3", None)


def test_copy_in_somebody_elses_repository_is_not_at_its_commit(copy: Path) -> None:
    (copy.parent / ".gitignore").write_text("copy\n")
    commit(copy.parent, "home")
    assert read_checkout(copy).commit is None


def test_commit_and_uncommitted_changes_are_told(copy: Path) -> None:
    known = commit(copy, "one")
    checkout = read_checkout(copy)
    assert (checkout.commit, checkout.changed) == (known, False)
    assert checkout.committed_at > 1_700_000_000
    (copy / "text").write_text("two")
    assert read_checkout(copy).changed


def test_commits_are_ordered_by_history(copy: Path) -> None:
    older, newer = commit(copy, "one"), commit(copy, "two")
    assert contains(older, newer, copy) is True
    assert contains(newer, newer, copy) is True
    assert contains(newer, older, copy) is False
    assert contains("0" * 40, newer, copy) is None


def test_git_that_is_not_installed_is_none(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(copy, "one")
    monkeypatch.setenv("PATH", "")
    assert read_checkout(copy).commit is None
