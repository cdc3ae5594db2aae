"""The disk image that lab hosts start from: built once per recipe, then cached.

It knows Debian and nothing of AWS, networks or running hosts.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError
from lab.ground import mounts, processes, progress, shell

SUITES = ("trixie", "bookworm")

CUSTOMIZE = Path(__file__).with_name("customize-image.sh")

INSTALLED = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "iproute2",
    "iputils-ping",
    "procps",
    "ca-certificates",
    "curl",
    "python3",
    "python3-boto3",
    "libfaketime",
)
"""What an image has, as a Debian machine on EC2 has it before any deploy."""

INSTALLABLE = ("haproxy", "keepalived", "needrestart", "socat")
"""What hosts can install without a network, dependencies included."""

DATABASE_SERVERS = ("mariadb-server", "postgresql")
"""What the database's host also has; which of them runs is decided when it is built."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

KEEP_DAYS = 7
"""How long an image stays that this checkout's recipe no longer makes."""

APT_OPTIONS = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
"""Settings of this machine's apt that its mirror may need."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what is in an image."""

    suite: str
    installed: tuple[str, ...] = INSTALLED
    installable: tuple[str, ...] = INSTALLABLE
    customize: str = ""
    """The text of the script that finishes the image."""

    def digest(self) -> str:
        """A short hash that changes with anything in the recipe."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe(suite: str, *more: str) -> Recipe:
    """The recipe of a suite, with more packages, as this checkout has it."""
    if suite not in SUITES:
        raise LabError(f"lab hosts cannot run {suite!r}: choose {' or '.join(SUITES)}")
    customize = CUSTOMIZE.read_text()
    return Recipe(suite, installed=(*INSTALLED, *more), customize=customize)


def cache_directory() -> Path:
    """Where images are kept: outside any checkout, shared by all labs."""
    return Path(os.environ.get("PORTWAY_LAB_CACHE", "/var/cache/portway-lab"))


def ensure(suite: str, *more: str) -> Path:
    """The image of a suite, built first if its recipe was never built before."""
    wanted = recipe(suite, *more)
    image = cache_directory() / f"{suite}-{wanted.digest()}"
    if not image.is_dir():
        with _locked(image):
            if not image.is_dir():
                _build(wanted, image)
    _last_use(image).touch()
    return image


@contextmanager
def _locked(image: Path) -> Iterator[None]:
    image.parent.mkdir(parents=True, exist_ok=True)
    with _beside(image, "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("waiting for another build of a lab image"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(wanted: Recipe, image: Path) -> None:
    """Build beside the final place, so that a half-built image is never used."""
    # A build that was killed leaves its scratch and its processes behind.
    group = processes.image_cgroup(image.name)
    processes.kill(group)
    building = f".building-{image.name}-"
    for left_over in image.parent.glob(f"{building}*"):
        mounts.remove_tree(left_over)
    scratch = Path(tempfile.mkdtemp(prefix=building, dir=image.parent))
    root = scratch / "root"
    script = scratch / "customize-image.sh"
    script.write_text(wanted.customize)
    log = _beside(image, "log")
    log.unlink(missing_ok=True)
    command = _mmdebstrap(wanted, root, script)
    with progress.step(
        f"building the image {image.name} (once per recipe)",
        lambda: _last_line(log),
    ):
        try:
            process = shell.start(
                command,
                log,
                cgroup=group,
                env={**os.environ, "TMPDIR": str(scratch)},
            )
            status = process.wait()
        finally:
            processes.kill(group)
        if status != 0:
            raise LabError(f"the image could not be built: see {log}")
        root.chmod(0o755)
        root.rename(image)
    mounts.remove_tree(scratch)
    _prune(image)


def _beside(image: Path, kind: str) -> Path:
    return image.with_name(f"{image.name}.{kind}")


def _last_use(image: Path) -> Path:
    """A file whose time says when the image was last asked for."""
    return _beside(image, "used")


def _prune(newest: Path) -> None:
    """Remove images of older recipes that no host uses and nobody will ask for."""
    suite = newest.name.partition("-")[0]
    in_use = Path("/proc/self/mounts").read_text()
    for stamp in newest.parent.glob(f"{suite}-*.used"):
        image = stamp.with_suffix("")
        old = time.time() - stamp.stat().st_mtime > KEEP_DAYS * 86400
        if old and image != newest and str(image) not in in_use:
            mounts.remove_tree(image)
            for kind in ("log", "lock", "used"):
                _beside(image, kind).unlink(missing_ok=True)


def _mmdebstrap(wanted: Recipe, root: Path, script: Path) -> list[str | Path]:
    packages = " ".join(wanted.installable)
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--keyring={KEYRING}",
        f"--include={','.join(wanted.installed)}",
        # The lists are those of the repository that the script makes.
        "--skip=cleanup/apt/lists",
        *(f"--aptopt={option}" for option in _apt_options()),
        f"--customize-hook=copy-in {script} /tmp",
        f'--customize-hook=chroot "$1" sh /tmp/{script.name} {packages}',
        f'--customize-hook=rm "$1/tmp/{script.name}"',
        wanted.suite,
        root,
        _mirror(wanted.suite),
    ]


def _mirror(suite: str) -> str:
    """The archive that this machine's own apt uses, for the suite if it has it."""
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)"
    targets = shell.output(["apt-get", "indextargets", "--format", form])
    mirrors: dict[str, str] = {}
    for line in targets.splitlines():
        uri, release, component, created_by = line.split("|")
        if component == "main" and created_by == "Packages":
            mirrors.setdefault(release, uri)
    for release in (suite, _own_release(), *SUITES):
        if release in mirrors:
            return mirrors[release]
    raise LabError(
        "this machine's apt knows no Debian archive to build lab hosts from: "
        "see that 'apt-get indextargets' lists one with the component main"
    )


def _own_release() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    return ""


def _apt_options() -> list[str]:
    dump = shell.output(["apt-config", "dump", *APT_OPTIONS])
    return [line.rstrip(";") for line in dump.splitlines() if "::" in line]


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1][:70] if lines else ""
