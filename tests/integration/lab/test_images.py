"""Builds of images, with a stand-in for what builds them: ended, failed, forgotten."""

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from lab.errors import LabError
from lab.ground import processes
from lab.lifecycle import reconcile
from lab.machines import image
from tests.lab.system import wait_until


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTWAY_LAB_CACHE", str(tmp_path))
    return tmp_path


def build_with(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have ``script`` make the folder $1 instead of mmdebstrap."""
    monkeypatch.setattr(
        image, "_mmdebstrap", lambda _, root, __: ["sh", "-c", script, "sh", root]
    )


def visible(cache: Path) -> set[str]:
    return {p.name for p in cache.iterdir() if p.suffix not in (".lock", ".log")}


def running(cache: Path) -> list[int]:
    return [
        pid
        for path in cache.glob("*.lock")
        for pid in processes.in_cgroup(processes.image_cgroup(path.stem))
    ]


def test_build_that_is_interrupted_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, 'mkdir "$1"; sleep 100')
    stop = Event()
    with ThreadPoolExecutor() as pool:
        build = pool.submit(image.ensure, "trixie", stop=stop)
        wait_until(lambda: bool(running(cache)), 10, "a build")
        began = time.monotonic()
        stop.set()
        with pytest.raises(image.InterruptedBuildError):
            build.result(10)
    assert time.monotonic() - began < 10
    assert running(cache) == []
    assert visible(cache) == set()


def test_failed_build_ends_the_other_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(
        monkeypatch, 'mkdir "$1"; case $1 in *bookworm*) exit 1; esac; sleep 100'
    )
    began = time.monotonic()
    with pytest.raises(LabError, match=r"could not be built: see .*bookworm"):
        reconcile.images("bookworm")
    assert time.monotonic() - began < 20
    assert running(cache) == []
    assert visible(cache) == set()


def test_what_dead_builds_left_goes_and_what_is_being_built_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, 'mkdir "$1"')
    old = time.time() - 8 * 86400
    for name in ("trixie-old", "trixie-new", ".building-trixie-dead"):
        (cache / name).mkdir()
    for name, at in (("trixie-old", old), ("trixie-new", time.time())):
        (cache / f"{name}.used").touch()
        os.utime(cache / f"{name}.used", (at, at))
    (cache / ".building-trixie-busy").mkdir()
    with (cache / "trixie-busy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = image.ensure("trixie", stop=Event())
    assert built.is_dir()
    assert visible(cache) == {
        built.name,
        f"{built.name}.used",
        "trixie-new",
        "trixie-new.used",
        ".building-trixie-busy",
    }
