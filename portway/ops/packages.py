"""Installs Debian packages, when whoever else installs some has finished.

In an instance's first minutes cloud-init and apt's daily timers install packages, too.
apt waits for dpkg's locks if it is told to, but not for that of its package lists.
"""

import shlex
import time

import gevent
from pyinfra import host, logger

from portway.errors import PortwayError
from portway.ops.describing import package_differences
from portway.ops.differences import missing_packages
from portway.ops.fence import work
from portway.ops.operations import read_node
from portway.ops.pyinfra_errors import Commands, operation
from portway.ops.reading import forget_host
from portway.ops.remote import NotReached, run, run_without_lease
from portway.render.files import WantedNode

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
PATIENCE = 600
"""Seconds for others to finish."""
LOOK_EVERY = 2.0
TELL_EVERY = 10.0
"""Seconds between two lines of progress."""

HOLDERS = """
import fcntl, struct, subprocess, sys
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            ask = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(
                "hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, ask))
        if kind != fcntl.F_UNLCK:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace").replace(chr(0), " ")
            program = " ".join(words.split())[:60]
            print(f"{program} (process {pid}), which locks {path}")
    except OSError:
        pass  # there is no such file, or the process has ended
try:
    said = subprocess.run(["cloud-init", "status"], capture_output=True, text=True)
    if "status: running" in said.stdout:
        print("cloud-init, which sets the instance up")
except OSError:
    pass  # the image has no cloud-init
"""
"""Prints who installs packages on the node, a line each."""


@operation
def install_packages(wanted: WantedNode) -> Commands:
    """Install what is missing, from the package lists at hand if they suffice."""
    found = read_node(wanted.survey)
    missing = missing_packages(wanted, found)
    differences = package_differences(wanted, found)
    if not differences:
        host.noop("all packages are installed")
        return
    yield work(differences, lambda: _install(missing, tuple(sorted(found.held))))


def _install(packages: tuple[str, ...], held: tuple[str, ...]) -> None:
    """Install packages, again if somebody else began to before they were."""
    deadline = time.monotonic() + PATIENCE
    while True:
        _wait_for_others(deadline)
        try:
            run(host, install_script(packages, held))
        except NotReached:
            raise
        except PortwayError as error:
            locked = "Could not get lock" in error.message or _others()
            if not locked or time.monotonic() > deadline:
                raise
            gevent.sleep(LOOK_EVERY)
        else:
            forget_host()
            return


def install_script(packages: tuple[str, ...], held: tuple[str, ...] = ()) -> str:
    """A script that installs packages, and finishes what was interrupted first.

    Those that were ``held`` may be upgraded again.
    """
    unhold = shlex.join(("apt-mark", "-q", "unhold", *held)) if held else ":"
    if not packages:
        return unhold
    install = (
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "
        "-o Dpkg::Options::=--force-confold install --no-install-recommends "
        + shlex.join(packages)
    )
    ready = f"{unhold} && {install}"
    return f"{ready} || {{ dpkg --configure -a && apt-get -q update && {install}; }}"


def _wait_for_others(deadline: float) -> None:
    told = float("-inf")
    while others := _others():
        now = time.monotonic()
        if now > deadline:
            raise PortwayError(
                f"{host.name}: packages cannot be installed",
                why=f"after {PATIENCE} s there still is {'; '.join(others)}",
                do="look at it on the node, and run again",
            )
        if now - told >= TELL_EVERY:
            told = now
            logger.info(f"{host.print_prefix}waiting for {'; '.join(others)}")
        gevent.sleep(LOOK_EVERY)


def _others() -> list[str]:
    """Who else installs packages on the current host; nobody if it has no Python."""
    python = shlex.join(["python3", "-IBc", HOLDERS, *LOCKS])
    script = f"command -v python3 >/dev/null || exit 0; {python}"
    return run_without_lease(host, script)
