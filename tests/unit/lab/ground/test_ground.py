"""Processes and mounts, as far as a test may have any."""

import os
from pathlib import Path

from lab.ground import mounts, processes


def test_only_a_first_process_of_its_own_namespace_is_an_init(tmp_path: Path) -> None:
    # This process is pid N of the machine: never the init of a host.
    group = tmp_path / "host"
    group.mkdir()
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n999999999\n")
    assert processes.in_cgroup(group) == [os.getpid(), 999999999]
    assert processes.init_of(group) is None


def test_nothing_is_mounted_below_a_plain_directory(tmp_path: Path) -> None:
    assert mounts.below(tmp_path) == []
    (tmp_path / "x" / "y").mkdir(parents=True)
    mounts.remove_tree(tmp_path / "x")
    assert not (tmp_path / "x").exists()
