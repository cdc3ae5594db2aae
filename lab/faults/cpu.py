"""Hosts that get only a part of a CPU, as on a machine that others overbook."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.ground import processes
from lab.plan.names import Lab

PERIOD = 100_000
"""Microseconds in which a host gets its share, as systemd's CPUQuota has it."""


@contextmanager
def share(lab: Lab, node: str, percent: float) -> Iterator[None]:
    """Give a host so much of one CPU."""
    quota = round(PERIOD * percent / 100)
    group = processes.cgroup(lab, node)
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        try:
            yield
        finally:
            (group / "cpu.max").write_text(f"max {PERIOD}")
        return
    old = _old_group(lab, node)
    (old / "cpu.cfs_period_us").write_text(str(PERIOD))
    (old / "cpu.cfs_quota_us").write_text(str(quota))
    _move(processes.in_cgroup(group), old)  # what they start follows them
    try:
        yield
    finally:
        _move(_pids(old), old.parents[2])
        old.rmdir()


def _old_group(lab: Lab, node: str) -> Path:
    """A cgroup of version 1, where the machine keeps its CPU controller there."""
    root = Path("/sys/fs/cgroup/cpu")
    if not (root / "cpu.cfs_quota_us").exists():
        raise LabError("this machine has no CPU controller for cgroups")
    group = root / "portway-lab" / lab.name / node
    group.mkdir(parents=True, exist_ok=True)
    return group


def _pids(group: Path) -> list[int]:
    return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]


def _move(pids: list[int], group: Path) -> None:
    for pid in pids:
        try:
            (group / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            continue  # it has ended meanwhile
