"""The script that changes a file, run for real in a folder of its own."""

import grp
import os
import pwd
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from portway.ops.operations import contents, write_script
from portway.render.files import ManagedFile

OLD, NEW = "old\n", "new first line\nnew second line\n"


def managed(
    path: Path, validate: tuple[str, ...] = (), mode: str = "600"
) -> ManagedFile:
    return ManagedFile(
        str(path),
        NEW,
        mode,
        owner=pwd.getpwuid(os.getuid()).pw_name,
        group=grp.getgrgid(os.getgid()).gr_name,
        validate=validate,
    )


def run(*files: ManagedFile, stdin: str = NEW) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", write_script(*files)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "it's a.conf"
    path.parent.mkdir()
    path.write_text(OLD)
    return path


def leftovers(target: Path) -> list[str]:
    return [p.name for p in target.parent.iterdir() if p != target]


def test_content_owner_and_mode_are_put_in_place(target: Path) -> None:
    assert run(managed(target, mode="640")).returncode == 0
    assert target.read_text() == NEW
    assert target.stat().st_mode & 0o777 == 0o640
    assert leftovers(target) == []


def test_missing_folder_is_made_for_everyone_to_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.conf"
    assert run(managed(path)).returncode == 0
    for folder in (path.parent, path.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o755


def test_refused_content_leaves_the_old_file_and_the_validator_s_words(
    target: Path,
) -> None:
    judge = ("sh", "-c", "echo line 2 is wrong; exit 1", "judge")
    result = run(managed(target, judge))
    assert result.returncode != 0
    assert "line 2 is wrong" in result.stderr
    assert f"{target}: the program that reads it rejects it" in result.stderr
    assert target.read_text() == OLD
    assert leftovers(target) == []


def test_validator_sees_the_new_content_before_it_is_in_place(target: Path) -> None:
    judge = ("sh", "-c", f'grep -q second "$0" && grep -q old "{target}"')
    assert run(managed(target, judge)).returncode == 0


@pytest.mark.parametrize("received", ["", NEW[:10], NEW.splitlines(True)[0]])
def test_broken_connection_leaves_the_old_file(target: Path, received: str) -> None:
    result = run(managed(target), stdin=received)
    assert result.returncode != 0
    assert "arrived incomplete" in result.stderr
    assert target.read_text() == OLD
    assert leftovers(target) == []


def test_content_is_never_readable_by_others_on_its_way(target: Path) -> None:
    judge = ("sh", "-c", '[ "$(stat -c %a "$0")" = 600 ]')
    assert run(managed(target, judge, mode="600")).returncode == 0


def test_content_is_in_no_command_line(target: Path) -> None:
    assert "first line" not in write_script(managed(target))


def test_killed_while_writing_leaves_the_old_file_and_the_next_run_mends(
    target: Path,
) -> None:
    file = managed(target)
    process = subprocess.Popen(
        ["/bin/sh", "-c", write_script(file)], stdin=subprocess.PIPE, text=True
    )
    assert process.stdin
    process.stdin.write(NEW[:10])
    process.stdin.flush()
    while not leftovers(target):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.stdin.close()
    process.wait()
    assert target.read_text() == OLD
    assert run(file).returncode == 0
    assert target.read_text() == NEW
    (left,) = leftovers(target)  # until nobody can be writing to it any more
    os.utime(target.with_name(left), (0, 0))
    assert run(file).returncode == 0
    assert leftovers(target) == []


def test_several_files_arrive_in_one_stream(target: Path, tmp_path: Path) -> None:
    files = (
        managed(target),
        replace(managed(tmp_path / "new" / "empty"), content=""),
        replace(managed(tmp_path / "new" / "ümlaut"), content="zwölf\n"),
    )
    assert run(*files, stdin=contents(files)).returncode == 0
    for file in files:
        assert Path(file.path).read_text() == file.content
    assert leftovers(target) == []


def test_refused_file_leaves_those_after_it_as_they_are(target: Path) -> None:
    later = target.with_name("later.conf")
    later.write_text(OLD)
    earlier = replace(managed(target.with_name("earlier.conf")), content="earlier\n")
    files = (earlier, managed(later, ("false",)), managed(target))
    result = run(*files, stdin=contents(files))
    assert f"{later}: the program that reads it rejects it" in result.stderr
    assert Path(earlier.path).read_text() == "earlier\n"
    assert (later.read_text(), target.read_text()) == (OLD, OLD)
    assert sorted(leftovers(target)) == ["earlier.conf", "later.conf"]


def test_validator_cannot_read_the_next_file(target: Path) -> None:
    judge = ("sh", "-c", "cat >/dev/null")
    files = (managed(target.with_name("first"), judge), managed(target))
    assert run(*files, stdin=contents(files)).returncode == 0
    assert target.read_text() == NEW


def test_refusal_reads_the_files_that_are_still_on_their_way(target: Path) -> None:
    large = replace(managed(target), content="x" * 300_000)  # more than a pipe holds
    files = (managed(target.with_name("first"), ("false",)), large)
    process = subprocess.Popen(
        ["/bin/sh", "-c", write_script(*files)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(contents(files).encode())
    _, said = process.communicate()
    assert b"the program that reads it rejects it" in said
    assert process.returncode == 1


def test_two_runs_at_once_never_mix_their_contents(target: Path) -> None:
    slow = subprocess.Popen(
        ["/bin/sh", "-c", write_script(managed(target))],
        stdin=subprocess.PIPE,
        text=True,
    )
    assert slow.stdin
    slow.stdin.write(NEW[:10])
    slow.stdin.flush()
    while not leftovers(target):
        assert slow.poll() is None
    other = replace(managed(target), content="other\n")
    assert run(other, stdin="other\n").returncode == 0
    assert target.read_text() == "other\n"
    slow.stdin.write(NEW[10:15])
    slow.stdin.close()
    assert slow.wait() != 0
    assert target.read_text() == "other\n"


def test_directory_in_the_file_s_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.mkdir()
    result = run(managed(path))
    assert result.returncode != 0
    assert f"{path}: is a directory; look at it, remove it" in result.stderr
    assert list(path.iterdir()) == []


def test_link_in_the_file_s_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = tmp_path / "a.conf"
    path.symlink_to(elsewhere)
    assert run(managed(path)).returncode == 0
    assert path.read_text() == NEW
    assert not path.is_symlink()
    assert list(elsewhere.iterdir()) == []
