"""Who holds the locks of apt and dpkg, as the real lock tells."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.ops.packages import HOLDERS, LOCKS, install_script

LOCK = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def holders(*paths: Path | str, path: str = "/nowhere") -> list[str]:
    words = [sys.executable, "-IBc", HOLDERS, *map(str, paths)]
    environment = os.environ | {"PATH": path}
    return subprocess.check_output(words, text=True, env=environment).splitlines()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file that another process has locked as apt does, and that process."""
    file = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, file, "as unattended-upgrade does"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield file, process.pid
        process.terminate()


def test_whoever_holds_a_lock_is_named(
    locked: tuple[Path, int], tmp_path: Path
) -> None:
    file, pid = locked
    free = tmp_path / "free"
    free.touch()
    (line,) = holders(free, file, tmp_path / "absent")
    assert line.startswith(f"{sys.executable} -c import fcntl")
    assert line.endswith(f"(process {pid}), which locks {file}")


@pytest.mark.parametrize(("status", "told"), [("running", 1), ("done", 0)])
def test_cloud_init_is_waited_for_while_it_runs(
    tmp_path: Path, status: str, told: int
) -> None:
    program = tmp_path / "cloud-init"
    program.write_text(f"#!/bin/sh\necho 'status: {status}'\n")
    program.chmod(0o755)
    assert len(holders(path=str(tmp_path))) == told


def test_locks_are_the_ones_that_apt_takes(tmp_path: Path) -> None:
    """Seen with apt itself: it makes its lock files in a root of its own."""
    for folder in ("var/lib/dpkg", "var/lib/apt/lists", "var/cache/apt/archives"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    (tmp_path / "etc/apt").mkdir(parents=True)
    options = ("-o", f"Dir={tmp_path}", "-o", "Dir::State::status=var/lib/dpkg/status")
    for words in (("update",), ("clean",), ("install", "--download-only")):
        subprocess.run(["apt-get", "-q", *options, *words], check=False)
    made = {path for path in LOCKS if (tmp_path / path[1:]).exists()}
    assert {"/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"} <= made


def test_script_waits_for_dpkg_s_lock_and_finishes_what_was_interrupted() -> None:
    script = install_script(("haproxy", "socat"))
    assert "DPkg::Lock::Timeout=" in script
    assert script.count("install --no-install-recommends haproxy socat") == 2
    assert "dpkg --configure -a && apt-get -q update" in script
