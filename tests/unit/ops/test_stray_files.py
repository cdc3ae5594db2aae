"""What is in Portway's own folders and not wanted goes; nothing else does."""

import subprocess
from pathlib import Path

import pytest

from portway.ops.differences import is_settled, stray_files
from portway.ops.facts import NodeFacts
from portway.ops.operations import removal_script
from portway.render.files import ManagedFile, WantedNode

ODD = ("old.py", "a name.py", "it's.py", "-rf", "a\tb.py", 'quo"te.py')


def shell(script: str) -> list[str]:
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()


def wanted(folder: Path) -> WantedNode:
    paths = (folder / "portway" / "contract" / "paths.py", folder / "portway" / "x.py")
    files = tuple(ManagedFile(str(path), "text") for path in paths)
    return WantedNode(files=files, folders=(str(folder),))


def stray(node: WantedNode) -> tuple[str, ...]:
    """What the node's own shell finds, through the fact."""
    fact = NodeFacts()
    script = fact.command((), (), node.folders, (), ())
    return stray_files(node, fact.process(shell(script)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Portway's own folder, with what is wanted and something beside it."""
    folder = tmp_path / "its python"
    for file in wanted(folder).files:
        Path(file.path).parent.mkdir(parents=True, exist_ok=True)
        Path(file.path).write_text("text")
    (tmp_path / "outside").write_text("text")
    return folder


def test_other_files_go_whatever_they_are_called(folder: Path, tmp_path: Path) -> None:
    old = folder / "portway" / "node" / "address"
    old.mkdir(parents=True)
    for name in ODD:
        (old / name).write_text("old")
    (old / "link").symlink_to(tmp_path / "outside")
    node = wanted(folder)
    found = stray(node)
    assert sorted(found) == sorted(str(old / name) for name in (*ODD, "link"))
    shell(removal_script(found, node.folders))
    assert stray(node) == ()
    assert not (folder / "portway" / "node").exists(), "an empty folder goes, too"
    assert all(Path(file.path).exists() for file in node.files)
    assert (tmp_path / "outside").exists()


def test_node_with_a_stray_file_is_not_settled(folder: Path) -> None:
    node = WantedNode(folders=(str(folder),))
    fact = NodeFacts()
    script = fact.command((), (), node.folders, (), ())
    assert not is_settled(node, fact.process(shell(script)))


def test_folder_that_is_missing_or_empty_has_no_stray_files(tmp_path: Path) -> None:
    assert stray(WantedNode(folders=(str(tmp_path / "none"),))) == ()
    (tmp_path / "empty").mkdir()
    assert stray(WantedNode(folders=(str(tmp_path / "empty"),))) == ()


def test_linked_folders_keep_what_is_wanted(folder: Path, tmp_path: Path) -> None:
    """Somebody has moved a folder elsewhere and linked it, the whole or a part."""
    moved = tmp_path / "elsewhere"
    (folder / "portway").rename(moved)
    (folder / "portway").symlink_to(moved)
    node = wanted(folder)
    assert stray(node) == ()
    whole = tmp_path / "whole"
    folder.rename(whole)
    folder.symlink_to(whole)
    (whole / "old.py").write_text("old")
    found = stray(node)
    assert found == (str(folder / "old.py"),)
    shell(removal_script(found, node.folders))
    assert all(Path(file.path).exists() for file in node.files)
    assert stray(node) == ()
