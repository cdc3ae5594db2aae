"""The releases on a node: each whole or not at all, and one of them the current."""

import fcntl
import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from portway.agent.signatures import signers_in, verify
from portway.aws.releases import fetch, fetch_signature
from portway.contract.archives import ENVIRONMENTS, PROGRAMS, PROJECT, WHEELS
from portway.errors import PortwayError
from portway.model.published import Published
from portway.model.pulled import ROOT, SIGNERS

CHECKS = f"{PROJECT}/portway/agent/signatures.py"
"""A release that checks signatures has it."""
KEPT = 3
"""Releases that stay, the current one among them."""
START_SECONDS = 180
"""What a release may take to start for the first time: it unpacks its packages."""
TRIALS = (
    ("pyinfra", "--version"),
    ("portway", "check"),
    ("portway", "agent", "turn", "--help"),
)
"""What a release must be able to do before it counts: it then imports all packages, and
the timer can start it."""


@dataclass(frozen=True)
class Store:
    """A folder with releases, and a link to the current one."""

    root: Path = ROOT
    role: str = ""
    """What the node is in its stack, if the timer says so; older releases know none."""
    signers: Path = SIGNERS

    @property
    def link(self) -> Path:
        """Points to the current release."""
        return self.root / "current"

    @property
    def current(self) -> str:
        """The name of the current release; empty if there is none."""
        return self.link.readlink().name if self.link.is_symlink() else ""

    def runs(self, name: str) -> bool:
        """Whether a release is the current one, and here."""
        return self.current == name and self.has(name)

    def has(self, name: str) -> bool:
        """Whether a release is here."""
        return bool(name) and self.folder(name).is_dir()

    def folder(self, name: str) -> Path:
        """Where a release is, or would be."""
        return self._releases / name

    def choose(self, name: str) -> None:
        """Have a release that is here be the current one, as it was before."""
        with self._locked():
            self._switch(name)

    def update(self, region: str, published: Published, keeps: str = "") -> bool:
        """Have a release be the current one; whether it was not.

        It is fetched unless it is there, verified with its SHA-256 and, if this machine
        knows signers, its signature, unpacked and started once before the link is
        changed. The release ``keeps`` stays. PortwayError if any of it fails; the link
        stays then.
        """
        name = published.release
        before = os.umask(0o022)  # root runs what is here
        try:
            with self._locked():
                self._sweep()
                if self.runs(name):
                    return False
                previous = self.current
                if not self.has(name):
                    self._take(region, published, name)
                self._try_or_remove(name)
                self._compile(name)
                self._switch(name)
                self._prune({name, previous, keeps})
        except (OSError, subprocess.CalledProcessError) as error:
            raise PortwayError(f"release {published.name}: {error}") from error
        finally:
            os.umask(before)
        return True

    @property
    def _releases(self) -> Path:
        return self.root / "releases"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._releases.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what an interrupted one has left."""
        for left in self._releases.glob(".*"):
            shutil.rmtree(left)

    def _take(self, region: str, published: Published, name: str) -> None:
        """Fetch and unpack a release beside where it will be, then give it its name."""
        part = self._releases / ".part"
        try:
            part.mkdir()
            archive = part / published.name
            fetch(region, published, archive)
            if signers_in(self.signers):
                signature = part / "signature"
                fetch_signature(region, published, signature)
                verify(archive, signature, self.signers)
            (part / "unpacked").mkdir()
            with tarfile.open(archive, "r:") as packed:
                into = part / "unpacked"
                packed.extractall(into, members=_members(packed))  # noqa: S202 - judged
            archive.unlink()
            (inside,) = (part / "unpacked").iterdir()
            self._judge(inside, name)
            self._share(inside)
            subprocess.run(["sync", "-f", str(inside)], check=True)  # noqa: S603, S607
            inside.rename(self.folder(name))
        except (ValueError, tarfile.TarError) as error:
            raise PortwayError(
                f"release {published.name} cannot be unpacked: {error}"
            ) from error
        finally:
            self._sweep()

    def _judge(self, inside: Path, name: str) -> None:
        """PortwayError for a release that is not what its name says.

        Or that would take others which nobody has signed, where that is asked for.
        """
        if not name.startswith(f"{inside.name}-"):
            raise PortwayError(
                f"release {name}: it has {inside.name}, which is another one",
                do="publish what portway release build wrote, under the name that it "
                "has",
            )
        if signers_in(self.signers) and not (inside / CHECKS).is_file():
            raise PortwayError(
                f"release {name} is from before signatures were checked",
                why=f"it would take releases that nobody of {self.signers} has signed",
                do="publish one of this version or a newer one",
            )

    def _share(self, inside: Path) -> None:
        """Have a release share its packages with the current one, if they are the same.

        To unpack and compile them is most of what it takes to take one.
        """
        before = self.folder(self.current)
        if not self.current or not _are_same(before / WHEELS, inside / WHEELS):
            return
        if (before / ENVIRONMENTS).is_dir():
            words = ("cp", "--archive", "--link", str(before / ENVIRONMENTS))
            subprocess.run([*words, str(inside)], check=True)  # noqa: S603 - our paths

    def _try_or_remove(self, name: str) -> None:
        """Start a release's programs once; one that cannot start is removed."""
        shared = self.folder(name) / ENVIRONMENTS
        try:
            try:
                self._try(name)
            except PortwayError:
                if name == self.current or not shared.is_dir():
                    raise
                shutil.rmtree(shared)  # of the one before, which may be damaged
                self._try(name)
        except PortwayError:
            if name != self.current:
                self._remove(name)
            raise

    def _try(self, name: str) -> None:
        for program, *words in TRIALS:
            role = ("--role", self.role) if self.role and "turn" in words else ()
            self._start(name, program, *words, *role)

    def _compile(self, name: str) -> None:
        """Compile a release's modules: pyinfra would do it anew in each run.

        What cannot be compiled, or kept, only makes its runs take longer.
        """
        folders = (self.folder(name) / part for part in (PROJECT, ENVIRONMENTS))
        words = [sys.executable, "-I", "-m", "compileall", "-q", *map(str, folders)]
        subprocess.run(words, check=False, capture_output=True)  # noqa: S603 - our own

    def _start(self, name: str, *words: str) -> None:
        release = self.folder(name)
        program, *rest = words
        try:
            done = subprocess.run(  # noqa: S603 - verified above
                [str(release / PROGRAMS / program), *rest],
                cwd=release / PROJECT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PortwayError(f"release {name} cannot start: {error}") from error
        if done.returncode:
            raise PortwayError(
                f"release {name} cannot start on this machine",
                why=(done.stderr or done.stdout).strip()[-500:],
            )

    def _switch(self, name: str) -> None:
        os.utime(self.folder(name))  # the last ones in use stay
        new = self.root / ".current"
        new.unlink(missing_ok=True)
        new.symlink_to(Path("releases") / name)
        new.replace(self.link)

    def _prune(self, needed: Collection[str]) -> None:
        """Remove the oldest releases, and none of those."""
        found = sorted(self._releases.iterdir(), key=lambda f: f.stat().st_mtime)
        spare = [folder.name for folder in found if folder.name not in needed]
        for name in spare[: max(0, len(found) - KEPT)]:
            self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove a release: at once by its name, so that none is half there."""
        removed = self._releases / f".{name}"
        self.folder(name).rename(removed)
        shutil.rmtree(removed)


def _are_same(one: Path, other: Path) -> bool:
    """Whether two folders have the same files, byte for byte."""
    if not (one.is_dir() and other.is_dir()):
        return False
    names = sorted(file.name for file in one.iterdir())
    if names != sorted(file.name for file in other.iterdir()):
        return False
    _, *rest = filecmp.cmpfiles(one, other, names, shallow=False)
    return not any(rest)


def _members(packed: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive; ValueError if one is what no release has.

    Debian 12's tarfile has no filters.
    """
    for member in packed:
        path = PurePosixPath(member.name)
        if not (member.isreg() or member.isdir()):
            raise ValueError(f"{path} is neither a file nor a folder")
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{path} leads out of the release")
        member.mode &= 0o755
        member.uid, member.gid = os.getuid(), os.getgid()
        member.uname = member.gname = ""
        yield member
