"""Archives that no vendor should ship, for tests of what refuses them."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from lab.vendor.build import archive_path

OUTSIDE = "portway-was-here"
"""The name that each archive tries to put where it must not."""


def _file(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def _special(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.devmajor, member.devminor = kind, 1, 3
    return member


HOSTILE: dict[str, Callable[[], list[tarfile.TarInfo]]] = {
    "absolute": lambda: [_file(f"/tmp/{OUTSIDE}")],  # noqa: S108 - that is the attack
    "escaping": lambda: [_file(f"app/../../../{OUTSIDE}")],
    "link-absolute": lambda: [_link("app/etc", "/etc")],
    "link-escaping": lambda: [_link("app/up", "../../..")],
    "link-chain": lambda: [
        _link("app/here", "."),
        _link("app/there", "here/../.."),
        _link("app/out", "there/../.."),
    ],
    "through-link": lambda: [_link("app/up", "."), _file(f"app/up/{OUTSIDE}")],
    "hard-link": lambda: [_link("app/shadow", "/etc/shadow", tarfile.LNKTYPE)],
    "hard-link-escaping": lambda: [
        _link("app/shadow", "../../../etc/shadow", tarfile.LNKTYPE)
    ],
    "device": lambda: [_special("app/null", tarfile.CHRTYPE)],
    "fifo": lambda: [_special("app/pipe", tarfile.FIFOTYPE)],
    "twice": lambda: [_link("app/a", "b"), _file("app/a")],
}
"""Members of each archive, by what is wrong with it."""


def build_hostile(name: str, version: str, folder: Path) -> Path:
    """Write one hostile archive in the place of a version."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.addfile(_file("app/innocent"))
        for member in HOSTILE[name]():
            tar.addfile(member)
    target = folder / archive_path(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(plain.getvalue(), mtime=0))
    return target
