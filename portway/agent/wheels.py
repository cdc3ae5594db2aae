"""The wheels of everything that Portway needs, as the lock has them."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from portway.contract.archives import Environment
from portway.errors import PortwayError, first_of

LOCK = "requirements.txt"
GLIBC = 36
"""Debian 12 has 2.36; what was built for an older one runs."""
OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1", "linux")
DOWNLOAD_SECONDS = 600
UNUSED = ("scripts", "headers")
"""What of a wheel's own data no run needs."""


def download(lock: Path, environment: Environment, folder: Path) -> tuple[str, ...]:
    """Download the wheels that fit an environment; returns their names, sorted.

    pip verifies each against the lock's hashes. PortwayError if there is no wheel for
    a package, or one that takes more than unpacking.
    """
    folder.mkdir()
    wanted = folder / "wanted"
    try:
        wanted.write_text("\n".join(_for(environment, lock.read_text())))
        _download(wanted, environment, folder)
    finally:
        wanted.unlink(missing_ok=True)
    found = sorted(folder.iterdir())
    for wheel in found:
        _refuse_more_than_unpacking(wheel)
    return tuple(wheel.name for wheel in found)


def _download(wanted: Path, environment: Environment, folder: Path) -> None:
    tags = [f"manylinux_2_{minor}" for minor in range(GLIBC, 4, -1)]
    platforms = [f"{tag}_{environment.machine}" for tag in (*tags, *OLD_NAMES)]
    abi = f"cp{environment.python.replace('.', '')}"
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command += ["download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--implementation=cp", f"--python-version={environment.python}"]
    command += [f"--abi={name}" for name in (abi, "abi3", "none")]
    command += [f"--platform={name}" for name in (*platforms, "any")]
    command += [f"--dest={folder}", f"--requirement={wanted}"]
    try:
        result = subprocess.run(  # noqa: S603 - the words are ours
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PortwayError(
            f"pip has not downloaded the wheels within {DOWNLOAD_SECONDS} s"
        ) from None
    if result.returncode:
        said = [line for line in result.stderr.splitlines() if "ERROR" in line]
        raise PortwayError(
            f"the wheels for Python {environment.python} on {environment.machine} "
            "cannot be downloaded",
            why="\n".join(said or result.stderr.splitlines()[-3:]),
        )


def _for(environment: Environment, lock: str) -> Iterator[str]:
    """The lines of a lock that count in an environment.

    pip would judge their markers by the Python that it runs in.
    """
    values = {
        "python_version": environment.python,
        "python_full_version": f"{environment.python}.0",
        "platform_machine": environment.machine,
    }
    for line in lock.replace("\\\n", " ").splitlines():
        stripped = line.partition("#")[0].strip()
        if not stripped:
            continue
        named, *hashes = stripped.split(" --hash=")
        try:
            requirement = Requirement(named.strip())
        except InvalidRequirement as error:
            raise PortwayError(f"{LOCK} has a line that is none: {error}") from error
        if requirement.marker is None or requirement.marker.evaluate(values):
            requirement.marker = None
            yield " --hash=".join((str(requirement), *map(str.strip, hashes)))


def _refuse_more_than_unpacking(wheel: Path) -> None:
    """Refuse a wheel of which some files belong elsewhere than they are packed."""
    with zipfile.ZipFile(wheel) as packed:
        folders = [name.split("/") for name in packed.namelist()]
    kinds = {f[1] for f in folders if f[0].endswith(".data") and len(f) > 2}
    if misplaced := kinds - set(UNUSED):
        raise PortwayError(
            f"{wheel.name} has {first_of(misplaced)} in its data folder",
            why="a release only unpacks its wheels",
        )
