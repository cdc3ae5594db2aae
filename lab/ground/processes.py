"""Which processes are a lab's: those in its cgroup, which the kernel keeps track of.

A pid can be reused by a stranger; membership of a cgroup cannot. So nothing here
remembers a pid, and nothing but a lab's own cgroup is ever killed.
"""

import errno
import os
import time
from pathlib import Path

from lab.errors import LabError
from lab.plan.names import Lab

KILL_SECONDS = 10.0

_TOP = "portway-lab"


def _hierarchies(wanted: str) -> list[Path]:
    """Where this machine has cgroups of a version mounted."""
    mounts = [
        line.split() for line in Path("/proc/self/mounts").read_text().splitlines()
    ]
    return [Path(where) for _, where, kind, *_ in mounts if kind == wanted]


def _unified_hierarchy() -> Path:
    for path in _hierarchies("cgroup2"):
        return path
    raise LabError(
        "this machine has no cgroup2 mounted; mount one with "
        "'mount -t cgroup2 none /sys/fs/cgroup/unified'"
    )


def cgroup(lab: Lab, thing: str = "") -> Path:
    """The cgroup of one of the lab's things, or of the whole lab."""
    return _unified_hierarchy() / _TOP / lab.name / thing


def image_cgroup(image: str) -> Path:
    """The cgroup of whoever builds an image; its name cannot be a lab's."""
    return _unified_hierarchy() / _TOP / f"image.{image}"


def in_cgroup(group: Path) -> list[int]:
    """The pids in a cgroup and all below it, the oldest group first."""
    pids: list[int] = []
    for folder in _groups(group):
        try:
            pids += [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
        except OSError:  # the cgroup went away while we looked
            continue
    return pids


def _groups(group: Path) -> list[Path]:
    """A cgroup and all below it; those that go away meanwhile are left out."""
    return sorted(Path(folder) for folder, _, _ in os.walk(group))


def init_of(group: Path) -> int | None:
    """The process that is pid 1 of the host which runs in a cgroup, if it runs."""
    for pid in in_cgroup(group):
        if _is_init(pid):
            return pid
    return None


def _is_init(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            inner = line.split()[1:]
            return len(inner) > 1 and inner[-1] == "1"
    return False


def kill(group: Path) -> None:
    """End everything in a cgroup and remove it; nothing to do if there is none."""
    if group.is_dir():
        _end(group)
        _remove(group)
    # systemd-nspawn makes the same groups beside v1, where machines still have it.
    relative = group.relative_to(_unified_hierarchy())
    for hierarchy in _hierarchies("cgroup"):
        _remove(hierarchy / relative)


def _end(group: Path) -> None:
    (group / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + KILL_SECONDS
    while in_cgroup(group):
        if time.monotonic() > deadline:
            raise LabError(f"processes {in_cgroup(group)} do not end: see {group}")
        time.sleep(0.02)


def _remove(group: Path) -> None:
    if not group.is_dir():
        return
    deadline = time.monotonic() + KILL_SECONDS
    while group.is_dir():
        try:
            for directory in reversed(_groups(group)):
                directory.rmdir()
        except OSError as error:  # the kernel lets go of the last process a bit later
            passing = error.errno in (errno.EBUSY, errno.ENOENT)
            if not passing or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
