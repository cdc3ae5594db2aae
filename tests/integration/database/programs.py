"""Where database servers' programs come from: this machine, or a root of unstable's.

The root is made as the lab's images are: once, from the archive that this machine's apt
uses, verified by Debian's keyring, and kept in the same cache.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from lab.machines import image

UNSTABLE = image.Recipe(
    "sid", installed=("mysql-server", "postgresql-18"), installable=()
)
SHARED = Path("/tmp")
"""What a program in a root sees under the same name as everybody else."""
ENTER = """
root=$1 owner=$2
shift 2
mount --bind {shared} "$root{shared}"
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
exec chroot --userspec="$owner" --groups= "$root" "$@"
"""


@dataclass(frozen=True)
class Programs:
    """Programs that run as a user of their own; servers refuse to run as root."""

    folder: Path
    owner: tuple[int, int]
    root: Path | None = None
    """The root that they are in; None if that is this machine's."""
    as_owner: dict[str, Any] = field(default_factory=dict)
    """What has subprocess run them as their owner."""

    def command(self, name: str, *arguments: object) -> list[str]:
        """The words that run one of them."""
        words = [str(self.folder / name), *map(str, arguments)]
        if self.root is None:
            return words
        script = ENTER.format(shared=SHARED)
        owner = f"{self.owner[0]}:{self.owner[1]}"
        enter = ["unshare", "--mount", "sh", "-ec", script, "sh"]
        return [*enter, str(self.root), owner, *words]

    def run(self, name: str, *arguments: object) -> None:
        """Run one of them to its end, which must be a good one."""
        done = subprocess.run(
            self.command(name, *arguments),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self.as_owner,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A folder of the owner's, where a server keeps all that it has."""
        folder = Path(tempfile.mkdtemp(prefix="portway-db-", dir=SHARED))
        try:
            folder.chmod(0o755)
            self.give(folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def give(self, path: Path) -> None:
        """Make the owner that of a file or folder."""
        if os.geteuid() == 0:
            os.chown(path, *self.owner)


def of_this_machine(folder: Path, user: str) -> Programs:
    """Programs in a folder of this machine, which run as a user that it has."""
    if os.geteuid() != 0:
        return Programs(folder, (os.geteuid(), os.getegid()))
    entry = pwd.getpwnam(user)
    as_owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return Programs(folder, (entry.pw_uid, entry.pw_gid), None, as_owner)


def of_unstable(folder: Path, user: str) -> Programs:
    """Programs of the root, made first if it was never made; needs to be root."""
    root = image.ensure_built(UNSTABLE, stop=Event())
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _, uid, gid, *_ = line.split(":")
        if name == user:
            return Programs(folder, (int(uid), int(gid)), root)
    raise AssertionError(f"{root} has no user {user}")
