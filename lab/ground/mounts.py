"""Mounts below a directory, and removing a directory only when there are none left."""

import shutil
from pathlib import Path

from lab.errors import LabError
from lab.ground import shell


def below(directory: Path) -> list[Path]:
    """Where something is mounted at or below a directory, the innermost first."""
    mounted = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        # Spaces and the like are written as octal escapes.
        path = Path(line.split()[1].encode().decode("unicode_escape"))
        if path.is_relative_to(directory):
            mounted.append(path)
    return sorted(mounted, reverse=True)


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, but nothing that is mounted there."""
    for path in below(directory):
        shell.output(["umount", path])
    if left := below(directory):
        raise LabError(f"{left[0]} is still mounted: nothing was removed")
    if directory.exists():
        shutil.rmtree(directory)
