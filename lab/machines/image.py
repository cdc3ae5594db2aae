"""Roots of Debian that programs start from: built once per recipe, then cached.

Lab hosts start from them, and tests that need another Debian's programs. It knows
nothing of AWS, networks or running hosts.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import IO

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

INSTALLABLE = (
    "haproxy",
    "keepalived",
    "needrestart",
    "nftables",
    "prometheus-node-exporter",
    "socat",
)
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
    """The text of the script that finishes the image, if one does."""

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


class InterruptedBuildError(LabError):
    """Somebody has asked for the end of a build."""


def ensure(suite: str, *more: str, stop: Event) -> Path:
    """The image of a suite for lab hosts, with more packages: see ``ensure_built``."""
    return ensure_built(recipe(suite, *more), stop=stop)


def ensure_built(wanted: Recipe, *, stop: Event) -> Path:
    """The image of a recipe, built first if it was never built before.

    Several may be built at once, here and by other processes. A build ends with
    InterruptedBuildError within a second of the event.
    """
    image = cache_directory() / f"{wanted.suite}-{wanted.digest()}"
    if not image.is_dir():
        with _locked(image, stop):
            if not image.is_dir():
                _build(wanted, image, stop)
    _beside(image, "used").touch()
    return image


@contextmanager
def _locked(image: Path, stop: Event) -> Iterator[None]:
    image.parent.mkdir(parents=True, exist_ok=True)
    with _beside(image, "lock").open("w") as lock:
        if not _try(lock):
            with progress.step(f"waiting for another build of the image {image.name}"):
                while not _try(lock):
                    _pause(stop)
        yield


def _try(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pause(stop: Event) -> None:
    if stop.wait(0.2):
        raise InterruptedBuildError("interrupted")


def _build(wanted: Recipe, image: Path, stop: Event) -> None:
    """Build beside the final place, so that a half-built image is never used."""
    scratch = image.with_name(f"{_BUILDING}{image.name}")
    _forget(scratch)  # a build that was killed
    scratch.mkdir()
    root = scratch / "root"
    script = scratch / "customize-image.sh"
    script.write_text(wanted.customize)
    log = _beside(image, "log")
    log.unlink(missing_ok=True)
    try:
        with progress.step(
            f"building the image {image.name} (once per recipe)",
            lambda: _last_line(log),
        ):
            process = shell.start(
                _mmdebstrap(wanted, root, script),
                log,
                cgroup=processes.image_cgroup(image.name),
                env={**os.environ, "TMPDIR": str(scratch)},
            )
            while (status := process.poll()) is None:
                _pause(stop)
        if status != 0:
            raise LabError(f"the image could not be built: see {log}")
        root.chmod(0o755)
        _beside(image, "used").touch()
        root.rename(image)
    finally:
        _forget(scratch)
    _prune(image)


_BUILDING = ".building-"


def _forget(scratch: Path) -> None:
    """End a build and remove what it has made so far."""
    processes.kill(processes.image_cgroup(scratch.name.removeprefix(_BUILDING)))
    if scratch.exists():
        mounts.remove_tree(scratch)


def _beside(image: Path, kind: str) -> Path:
    return image.with_name(f"{image.name}.{kind}")


def _prune(newest: Path) -> None:
    """Remove images that nobody has asked for lately, and what dead builds left."""
    in_use = Path("/proc/self/mounts").read_text()
    names = {
        path.name.removeprefix(_BUILDING).removesuffix(".used")
        for pattern in ("*.used", f"{_BUILDING}*")
        for path in newest.parent.glob(pattern)
    } - {newest.name}
    for image in map(newest.with_name, sorted(names)):
        with _beside(image, "lock").open("w") as lock:
            if not _try(lock):
                continue  # it is being built, or removed by another
            _forget(image.with_name(f"{_BUILDING}{image.name}"))
            stamp = _beside(image, "used")
            used = stamp.stat().st_mtime if stamp.exists() else 0
            if time.time() - used <= KEEP_DAYS * 86400 or str(image) in in_use:
                continue
            if image.is_dir():
                mounts.remove_tree(image)
            for kind in ("log", "used", "lock"):
                _beside(image, kind).unlink(missing_ok=True)


def _mmdebstrap(wanted: Recipe, root: Path, script: Path) -> list[str | Path]:
    packages = " ".join(wanted.installable)
    finish: tuple[str, ...] = ()
    if wanted.customize:
        finish = (
            # The lists are those of the repository that the script makes.
            "--skip=cleanup/apt/lists",
            f"--customize-hook=copy-in {script} /tmp",
            f'--customize-hook=chroot "$1" sh /tmp/{script.name} {packages}',
            f'--customize-hook=rm "$1/tmp/{script.name}"',
        )
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--keyring={KEYRING}",
        f"--include={','.join(wanted.installed)}",
        *(f"--aptopt={option}" for option in _apt_options()),
        *finish,
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
