"""What this machine must have before it can run a lab."""

import os
import shutil
from pathlib import Path

from lab.errors import LabError

PROGRAMS = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
}
"""Programs that the lab starts, and the Debian packages they are in."""

FILES = {"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}

WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_WATCHERS = 1024
"""All hosts of all labs share root's limit. Debian's is 128; a lab uses about 35, and
hosts of a fourth one would not boot."""


def missing_packages() -> tuple[str, ...]:
    """The Debian packages that the lab needs and this machine does not have."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {
        package
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=path) is None
    } | {package for file, package in FILES.items() if not Path(file).exists()}
    return tuple(sorted(missing))


def check_machine() -> None:
    """Refuse a machine that cannot run a lab, and say what to do about it."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and hosts: run it as root")
    if missing := missing_packages():
        raise LabError(
            "this machine lacks programs that the lab needs; "
            f"install it with 'apt-get install {' '.join(missing)}'"
        )


def raise_limits(watchers: Path = WATCHERS) -> str:
    """Let this machine run several labs; returns what was changed, "" if nothing.

    The limit stays raised until the machine boots: another lab may need it.
    """
    before = int(watchers.read_text())
    if before >= ENOUGH_WATCHERS:
        return ""
    try:
        watchers.write_text(f"{ENOUGH_WATCHERS}\n")
    except OSError as error:
        return f"{watchers} stays at {before}, which is enough for three labs: {error}"
    return f"{watchers} raised from {before} to {ENOUGH_WATCHERS}, until the next boot"
