"""The program that installs releases, run for real in a folder of its own."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.vendor.build import archive_path, build
from lab.vendor.hostile import HOSTILE, OUTSIDE, build_hostile
from portway.contract.release_requests import Remove, to_json
from portway.model.releases import Release
from tests.integration.artifacts import Artifacts
from tests.integration.node.installer import (
    fetch,
    fetch_request,
    folder,
    install_program,
    link,
    program,
    program_is_removed,
    refused,
    run,
    switch,
    tree,
)

__all__ = ["folder", "program_is_removed"]


def test_release_is_unpacked_and_runs(folder: Path) -> None:
    assert link(folder, "current") == "releases/1.0.0"
    program = folder / "current" / "bin" / "message-app"
    said = subprocess.check_output([program, "--version"], text=True)
    assert said == "1.0.0\n"
    assert [path.name for path in (folder / "releases").glob(".*")] == [".lock"]


def test_files_belong_to_root_and_carry_no_special_rights(folder: Path) -> None:
    for path in (folder / "releases" / "1.0.0").rglob("*"):
        assert path.stat().st_uid == os.getuid()
        assert path.stat().st_mode & 0o7777 in (0o755, 0o644)


def test_fetching_again_changes_nothing(folder: Path, artifacts: Artifacts) -> None:
    before = tree(folder)
    asked = len(artifacts.served.requests)
    assert fetch(folder, artifacts.build("1.0.0")).returncode == 0
    assert tree(folder) == before
    assert len(artifacts.served.requests) == asked


def test_switching_forth_and_back_needs_no_download(
    folder: Path, artifacts: Artifacts
) -> None:
    one, two = artifacts.build("1.0.0"), artifacts.build("2.0.0")
    assert fetch(folder, two).returncode == 0
    assert link(folder, "current") == "releases/1.0.0"
    switch(folder, two)
    assert link(folder, "current") == "releases/2.0.0"
    assert link(folder, "previous") == "releases/1.0.0"
    asked = len(artifacts.served.requests)
    assert fetch(folder, one).returncode == 0
    switch(folder, one)
    assert link(folder, "current") == "releases/1.0.0"
    assert link(folder, "previous") == "releases/2.0.0"
    assert len(artifacts.served.requests) == asked


def test_archive_published_anew_under_its_version_replaces_the_old(
    folder: Path, artifacts: Artifacts
) -> None:
    other = build("2.0.0", artifacts.folder)
    target = artifacts.folder / archive_path("1.0.0")
    other.replace(target)
    assert fetch(folder, artifacts.release("1.0.0", target)).returncode == 0
    version = folder / "current" / "lib" / "message_app" / "version.py"
    assert "2.0.0" in version.read_text()
    assert [path.name for path in (folder / "releases").glob(".*")] == [".lock"]


@pytest.mark.parametrize("attack", sorted(HOSTILE))
def test_hostile_archive_is_refused(
    folder: Path, artifacts: Artifacts, tmp_path: Path, attack: str
) -> None:
    archive = build_hostile(attack, "6.6.6", artifacts.folder)
    text = refused(folder, artifacts.release("6.6.6", archive))
    assert "the archive has a" in text
    assert list(tmp_path.rglob(OUTSIDE)) == []
    assert not Path("/tmp", OUTSIDE).exists()


def test_links_inside_the_archive_are_kept(
    folder: Path, artifacts: Artifacts, tmp_path: Path
) -> None:
    """What a plain ``tar`` made of a folder with links is not refused."""
    source = tmp_path / "source" / "app"
    (source / "lib").mkdir(parents=True)
    (source / "lib" / "a.so.1").write_text("library")
    (source / "lib" / "a.so").symlink_to("a.so.1")
    (source / "lib" / "b.so.1").hardlink_to(source / "lib" / "a.so.1")
    (source / "up").symlink_to("lib/../lib")
    archive = artifacts.folder / archive_path("3.0.0")
    archive.parent.mkdir(parents=True)
    command = ["tar", "cJf", str(archive), "-C", str(source.parent), "app"]
    subprocess.run(command, check=True)
    assert fetch(folder, artifacts.release("3.0.0", archive)).returncode == 0
    unpacked = folder / "releases" / "3.0.0"
    assert (unpacked / "up" / "a.so").read_text() == "library"
    assert (unpacked / "lib" / "b.so.1").read_text() == "library"


def test_wrong_sum_is_refused(folder: Path, artifacts: Artifacts) -> None:
    built = artifacts.build("2.0.0")
    wrong = Release("2.0.0", built.url, "0" * 64)
    assert f"has the SHA-256 {built.sha256}, not 0000" in refused(folder, wrong)


def test_truncated_download_is_refused(folder: Path, artifacts: Artifacts) -> None:
    built = artifacts.build("2.0.0")
    artifacts.go_wrong(truncate=1000)
    assert "the download failed" in refused(folder, built)


def test_nothing_in_the_way_is_imported(
    folder: Path, artifacts: Artifacts, tmp_path: Path
) -> None:
    """It runs as root with a token: neither the caller's folder nor its environment."""
    decoy = tmp_path / "decoy"
    for name in ("json.py", "portway/__init__.py", "portway/contract/__init__.py"):
        (decoy / name).parent.mkdir(parents=True, exist_ok=True)
        (decoy / name).write_text("raise SystemExit('a decoy was imported')")
    result = subprocess.run(
        [str(program())],
        input=fetch_request(folder, artifacts.build("2.0.0")),
        cwd=decoy,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(decoy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_missing_archive_is_refused(folder: Path, artifacts: Artifacts) -> None:
    built = artifacts.build("2.0.0")
    (artifacts.folder / archive_path("2.0.0")).unlink()
    assert "HTTP 404" in refused(folder, built)


@pytest.mark.parametrize("token", ["wrong", None])
def test_wrong_token_is_refused(
    folder: Path, artifacts: Artifacts, token: str | None
) -> None:
    assert "HTTP 40" in refused(folder, artifacts.build("2.0.0"), token)


def test_archive_that_is_none_is_refused(folder: Path, artifacts: Artifacts) -> None:
    target = artifacts.folder / archive_path("2.0.0")
    target.parent.mkdir(parents=True)
    target.write_bytes(os.urandom(1000))
    text = refused(folder, artifacts.release("2.0.0", target))
    assert "neither a tar file" in text


def test_archive_cut_short_before_it_was_published_is_refused(
    folder: Path, artifacts: Artifacts
) -> None:
    artifacts.build("2.0.0")
    target = artifacts.folder / archive_path("2.0.0")
    target.write_bytes(target.read_bytes()[:-5000])
    text = refused(folder, artifacts.release("2.0.0", target))
    assert "cannot be read" in text


def test_unreachable_server_is_told(folder: Path) -> None:
    nowhere = Release("2.0.0", "http://127.0.0.1:1/archive", "0" * 64)
    assert "Connection refused" in refused(folder, nowhere)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 66 MiB, where 64 must stay free."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=66M", "tmpfs", str(mounted)]
    subprocess.run(command, check=True)
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_too_little_space_is_told_before_it_runs_out(
    small_disk: Path, artifacts: Artifacts
) -> None:
    built = artifacts.build("2.0.0")
    (small_disk / "releases").mkdir()
    (small_disk / "other").write_bytes(bytes(2 * 2**20))
    assert "MiB are needed" in refused(small_disk, built)


def test_full_disk_leaves_nothing_behind(
    folder: Path, artifacts: Artifacts, small_disk: Path
) -> None:
    """The reserve is used up by others while the archive is being unpacked."""
    changed = install_program(
        folder / "changed",
        **{
            "RESERVE = 64 * 1024": "RESERVE = 0 * 1024",
            "need(target, sum": "print(target, sum",
        },
    )
    (small_disk / "other").write_bytes(bytes(65 * 2**20))
    built = artifacts.build("2.0.0")
    result = subprocess.run(
        [str(changed)],
        input=fetch_request(small_disk, built),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert set(tree(small_disk)) == {"other", "releases"}


def test_leftovers_of_an_interrupted_run_are_removed(
    folder: Path, artifacts: Artifacts
) -> None:
    releases = folder / "releases"
    (releases / ".unpacked" / "lib").mkdir(parents=True)
    (releases / ".download").write_bytes(b"half")
    assert fetch(folder, artifacts.build("2.0.0")).returncode == 0
    assert [path.name for path in releases.glob(".*")] == [".lock"]
    assert (releases / "2.0.0" / "bin" / "message-app").is_file()


def test_killed_at_any_moment_the_next_run_mends(
    folder: Path, artifacts: Artifacts
) -> None:
    two = artifacts.build("2.0.0")
    for moment in range(12):
        process = subprocess.Popen(
            [str(program())],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin
        process.stdin.write(fetch_request(folder, two))
        process.stdin.close()
        time.sleep(0.04 * moment)
        process.kill()
        process.wait()
        current = folder / "current" / "bin" / "message-app"
        assert subprocess.check_output([current, "--version"], text=True) == "1.0.0\n"
        release = folder / "releases" / "2.0.0"
        if release.exists():  # then it is whole
            unpacked = release / "bin" / "message-app"
            said = subprocess.check_output([unpacked, "--version"], text=True)
            assert said == "2.0.0\n"
            subprocess.run(["rm", "-r", str(release)], check=True)
    assert fetch(folder, two).returncode == 0
    assert [path.name for path in (folder / "releases").glob(".*")] == [".lock"]


def test_current_and_previous_release_are_never_removed(
    folder: Path, artifacts: Artifacts
) -> None:
    for version in ("2.0.0", "3.0.0"):
        release = artifacts.build(version)
        assert fetch(folder, release).returncode == 0
        switch(folder, release)
    request = to_json(Remove(str(folder), ("1.0.0", "2.0.0", "3.0.0", "9")))
    assert run(request).returncode == 0
    left = {path.name for path in (folder / "releases").iterdir()}
    assert left == {".lock", "2.0.0", "3.0.0"}


def test_release_that_is_not_there_is_not_switched_to(folder: Path) -> None:
    request = json.dumps({"do": "switch", "folder": str(folder), "version": "9"})
    result = run(request)
    assert "release 9 is not installed" in result.stderr
    assert link(folder, "current") == "releases/1.0.0"
