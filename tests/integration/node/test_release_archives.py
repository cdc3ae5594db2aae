"""What vendors' archives look like: zip files, links to the node, files from a Mac.

Each is packed for real, served, and unpacked by the program that nodes run.
"""

import gzip
import io
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lab.vendor.build import archive_path
from tests.integration.artifacts import Artifacts
from tests.integration.node.installer import (
    fetch,
    program_is_removed,
    refused,
    tree,
)

__all__ = ["program_is_removed"]

PROGRAM = b"#!/bin/sh\necho it runs\n"
OUTSIDE = "portway-was-here"
UNIX, WINDOWS = 3, 0
ENTRY = b"PK\x01\x02"
"""Begins a member's entry in the directory at the end of a zip file."""


def entry(name: str, mode: int = 0o100644, system: int = UNIX) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = system, mode << 16
    return info


def link(name: str) -> zipfile.ZipInfo:
    return entry(name, stat.S_IFLNK | 0o777)


RECEIVER = (entry("acme/bin/receiver", 0o100755), PROGRAM)
"""What every good archive here has."""

Content = tuple[zipfile.ZipInfo | tarfile.TarInfo, bytes]


def zipped(*content: Content) -> bytes:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as packed:
        for info, data in content:
            assert isinstance(info, zipfile.ZipInfo)
            packed.writestr(info, data)
    return plain.getvalue()


def tarred(*content: Content) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as packed:
        for info, data in content:
            assert isinstance(info, tarfile.TarInfo)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


def member(name: str, mode: int = 0o644, kind: bytes = tarfile.REGTYPE) -> Any:
    info = tarfile.TarInfo(name)
    info.mode, info.type = mode, kind
    return info


def tar_link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Content:
    info = member(name, 0o777, kind)
    info.linkname = target
    return info, b""


def publish(artifacts: Artifacts, archive: bytes, version: str = "2.0.0") -> Any:
    """Serve an archive; what it is called says nothing of what it is."""
    target = artifacts.folder / archive_path(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive)
    return artifacts.release(version, target)


def installed(folder: Path, artifacts: Artifacts, archive: bytes, **more: Any) -> Path:
    result = fetch(folder, publish(artifacts, archive), **more)
    assert (result.returncode, result.stderr) == (0, "")
    return folder / "releases" / "2.0.0"


def modes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode)
        for path in (root, *root.rglob("*"))
        if not path.is_symlink() and path.name != ".portway-sha256"
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an application that has no release yet."""
    folder = tmp_path / "opt" / "message-app"
    (folder / "releases").mkdir(parents=True)
    return folder


def test_zip_file_is_unpacked_with_its_modes_and_links(
    folder: Path, artifacts: Artifacts
) -> None:
    release = installed(
        folder,
        artifacts,
        zipped(
            (entry("acme/", 0o40700), b""),
            RECEIVER,
            (entry("acme/etc/private.key", 0o100600), b"key"),
            (entry("acme/lib/a.so.1"), b"library"),
            (link("acme/lib/a.so"), b"a.so.1"),
        ),
    )
    said = subprocess.check_output([release / "bin" / "receiver"], text=True)
    assert said == "it runs\n"
    assert (release / "lib" / "a.so").read_text() == "library"
    assert modes(release) == {
        ".": 0o700,
        "bin": 0o755,
        "bin/receiver": 0o755,
        "etc": 0o755,
        "etc/private.key": 0o600,
        "lib": 0o755,
        "lib/a.so.1": 0o644,
    }


def test_zip64_file_is_unpacked(folder: Path, artifacts: Artifacts) -> None:
    """As of vendors whose files have more than 4 GiB, or who do not know before."""
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as packed:
        info = entry("acme/bin/receiver", 0o100755)
        with packed.open(info, "w", force_zip64=True) as file:
            file.write(PROGRAM)
    assert b"\x01\x00\x10\x00" in plain.getvalue(), "it is no zip64 file"
    release = installed(folder, artifacts, plain.getvalue())
    assert (release / "bin" / "receiver").read_bytes() == PROGRAM


def test_zip_file_of_windows_has_paths_and_programs_that_start(
    folder: Path, artifacts: Artifacts
) -> None:
    """It has no modes, and some of its makers write paths with backslashes."""
    release = installed(
        folder,
        artifacts,
        zipped(
            (entry("acme\\bin\\receiver", 0, WINDOWS), PROGRAM),
            (entry("acme\\etc\\settings.txt", 0, WINDOWS), b"settings"),
        ),
        programs=("bin/receiver",),
    )
    said = subprocess.check_output([release / "bin" / "receiver"], text=True)
    assert said == "it runs\n"
    assert modes(release)["etc/settings.txt"] == 0o644


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ((entry(f"/tmp/{OUTSIDE}"), b""), "a path outside of it"),
        ((entry(f"acme/../../../{OUTSIDE}"), b""), "a path outside of it"),
        ((entry(f"..\\..\\{OUTSIDE}", 0, WINDOWS), b""), "a path outside of it"),
        ((link("acme/up"), b"../../.."), "a link outside of it"),
        ((link("acme/etc"), b"/etc"), "a link outside of it"),
        ((entry("acme/pipe", stat.S_IFIFO | 0o644), b""), "a device or pipe"),
        ((entry("acme/null", stat.S_IFCHR | 0o644), b""), "a device or pipe"),
        ((entry("acme/bin/receiver"), b"again"), "a path twice"),
        ((entry("acme/bin/receiver/x"), b""), "a path through a link or file"),
        ((link("acme/long"), b"x" * 5000), "a target too long"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_zip_file_is_refused(
    folder: Path, artifacts: Artifacts, tmp_path: Path, content: Content, said: str
) -> None:
    text = refused(folder, publish(artifacts, zipped(RECEIVER, content)))
    assert said in text
    assert list(tmp_path.rglob(OUTSIDE)) == []
    assert not Path("/tmp", OUTSIDE).exists()


def test_encrypted_zip_file_is_refused_with_the_reason(
    folder: Path, artifacts: Artifacts
) -> None:
    archive = bytearray(zipped(RECEIVER))
    archive[6] |= 1  # in the member's own header, and in the directory at the end
    archive[archive.index(ENTRY) + 8] |= 1
    text = refused(folder, publish(artifacts, bytes(archive)))
    assert "is encrypted: 'acme/bin/receiver'" in text
    assert "get one without a password" in text


def test_zip_file_packed_in_a_way_python_cannot_read_is_refused_with_the_reason(
    folder: Path, artifacts: Artifacts
) -> None:
    """Windows packs large files with deflate64."""
    archive = bytearray(zipped(RECEIVER))
    archive[8] = archive[archive.index(ENTRY) + 10] = 9
    text = refused(folder, publish(artifacts, bytes(archive)))
    assert "deflate64" in text
    assert "get one packed with deflate" in text


def test_damaged_zip_file_is_refused(folder: Path, artifacts: Artifacts) -> None:
    archive = bytearray(zipped(RECEIVER))
    archive[archive.index(b"acme/bin/receiver") + 20] ^= 0xFF
    assert "cannot be read" in refused(folder, publish(artifacts, bytes(archive)))
    cut = zipped(RECEIVER)[:-30]
    assert "cannot be read" in refused(folder, publish(artifacts, cut))


def test_zip_file_that_claims_more_than_fits_is_refused_before_it_is_unpacked(
    folder: Path, artifacts: Artifacts
) -> None:
    files, *entries = zipped(*((entry(f"a/{n}"), b"") for n in range(999))).split(ENTRY)
    claims = [one[:20] + b"\xfe\xff\xff\xff" + one[24:] for one in entries]
    bomb = ENTRY.join([files, *claims])
    assert "MiB are needed" in refused(folder, publish(artifacts, bomb))


def test_what_is_neither_tar_nor_zip_is_called_so(
    folder: Path, artifacts: Artifacts
) -> None:
    text = refused(folder, publish(artifacts, b"<!DOCTYPE html><title>Sign in"))
    assert "neither a tar file (plain, gzip, bzip2 or xz) nor a zip file" in text
    assert "b'<!DO'" in text


CACERTS = tar_link("acme/jre/lib/security/cacerts", "/etc/ssl/certs/java/cacerts")


def test_absolute_link_is_named_and_the_refusal_says_what_allows_it(
    folder: Path, artifacts: Artifacts
) -> None:
    text = refused(folder, publish(artifacts, tarred(CACERTS)))
    link = "'acme/jre/lib/security/cacerts' -> '/etc/ssl/certs/java/cacerts'"
    assert link in text
    assert "artifact_links = ['/etc/ssl/certs/java/cacerts']" in text


@pytest.mark.parametrize(
    "allowed", ["/etc/ssl/certs/java/cacerts", "/etc/ssl/certs", "/etc"]
)
def test_absolute_link_that_is_allowed_is_kept(
    folder: Path, artifacts: Artifacts, allowed: str
) -> None:
    archive = tarred(CACERTS, tar_link("acme/cacerts", "jre/lib/security/cacerts"))
    release = installed(folder, artifacts, archive, links=(allowed,))
    kept = release / "jre" / "lib" / "security" / "cacerts"
    assert str(kept.readlink()) == "/etc/ssl/certs/java/cacerts"


@pytest.mark.parametrize(
    "content",
    [
        (tar_link("acme/x", "/etc/ssl-private/key"),),
        (tar_link("acme/x", "/etc/ssl/../shadow"),),
        (tar_link("acme/x", "/etc/ssl"), tar_link("acme/y", "x/../shadow")),
        (tar_link("acme/x", "/etc/ssl"), (member("acme/x/certs/ours.pem"), b"")),
        (tar_link("acme/x", "/etc/ssl/cert.pem", tarfile.LNKTYPE),),
        (tar_link("acme/x", "../../../../etc/ssl/cert.pem"),),
    ],
)
def test_allowed_path_lets_nothing_else_out(
    folder: Path, artifacts: Artifacts, content: tuple[Content, ...]
) -> None:
    refused(folder, publish(artifacts, tarred(*content)), links=("/etc/ssl",))


def test_files_keep_no_wider_mode_than_they_were_packed_with(
    folder: Path, artifacts: Artifacts
) -> None:
    folder_of = tarfile.DIRTYPE
    release = installed(
        folder,
        artifacts,
        tarred(
            (member("acme", 0o2777, folder_of), b""),
            (member("acme/secret", 0o500, folder_of), b""),
            (member("acme/secret/key", 0o400), b"key"),
            (member("acme/run", 0o700), PROGRAM),
            (member("acme/shared", 0o6775), PROGRAM),
            (member("acme/open", 0o666), b""),
        ),
    )
    assert modes(release) == {
        ".": 0o755,
        "secret": 0o700,
        "secret/key": 0o400,
        "run": 0o700,
        "shared": 0o755,
        "open": 0o644,
    }


@pytest.mark.parametrize(
    "archive",
    [
        tarred((member("acme/etc/settings", 0), b"settings")),
        zipped((entry("acme/etc/settings", stat.S_IFREG), b"settings")),
    ],
    ids=["tar", "zip"],
)
def test_file_packed_without_any_right_can_be_read_by_its_owner(
    folder: Path, artifacts: Artifacts, archive: bytes
) -> None:
    release = installed(folder, artifacts, archive)
    assert modes(release)["etc/settings"] == 0o400


MAC = (
    (member("./._acme", 0o644), b"\0\5\26\7"),
    (member("./.DS_Store", 0o644), b"Bud1"),
    (member("acme/bin/receiver", 0o755), PROGRAM),
    (member("acme/bin/._receiver", 0o755), b"\0\5\26\7"),
    (member("acme/bin/._kept", 0o644), b"no file kept is beside it"),
)
MAC_ZIP = (
    RECEIVER,
    (entry("acme/bin/._kept"), b"no file kept is beside it"),
    (entry("__MACOSX/", 0o40755), b""),
    (entry("__MACOSX/acme/bin/._receiver"), b"\0\5\26\7"),
)


@pytest.mark.parametrize(
    "archive", [tarred(*MAC), zipped(*MAC_ZIP)], ids=["tar", "zip"]
)
def test_what_a_mac_adds_is_left_out_and_the_one_folder_is_found(
    folder: Path, artifacts: Artifacts, archive: bytes
) -> None:
    release = installed(folder, artifacts, archive, programs=("bin/receiver",))
    assert set(modes(release)) == {".", "bin", "bin/receiver", "bin/._kept"}


def script(first: str, mode: int = 0o755) -> bytes:
    return tarred((member("acme/bin/receiver", mode), f"{first}\n".encode()))


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (
            tarred(
                (member("acme/opt/bin/receiver", 0o755), PROGRAM),
                (member("README"), b""),
            ),
            "has no bin/receiver, but acme/opt/bin/receiver",
        ),
        (
            tarred((member("acme/start.sh", 0o755), PROGRAM), (member("README"), b"")),
            "has no bin/receiver; at its top are README, acme",
        ),
        (tarred((member("bin/receiver/x"), b"")), "has no bin/receiver"),
        (script("#!/bin/sh", 0o644), "bin/receiver is not executable"),
        (script("#!/opt/jdk/bin/java"), "a script for /opt/jdk/bin/java, which this"),
        (script("#!/bin/sh\r"), "bin/receiver end as on Windows"),
        (tarred(tar_link("acme/bin/receiver", "gone")), "has no bin/receiver"),
    ],
    ids=range(7),
)
def test_release_without_its_program_is_refused(
    folder: Path, artifacts: Artifacts, archive: bytes, said: str
) -> None:
    release = publish(artifacts, archive)
    assert said in refused(folder, release, programs=("bin/receiver",))


@pytest.mark.parametrize(
    "first",
    [
        "#!/usr/bin/env -S sh -e",
        "#!/usr/bin/env sh",
        "#!/usr/bin/env java-in-the-path-of-the-unit",
        "#! /bin/sh -e",
        "#!{folder}/current/jre/bin/java",
    ],
)
def test_program_that_will_start_is_taken(
    folder: Path, artifacts: Artifacts, first: str
) -> None:
    archive = script(first.replace("{folder}", str(folder)))
    installed(folder, artifacts, archive, programs=("bin/receiver",))


def test_program_is_looked_for_in_a_release_that_is_there(
    folder: Path, artifacts: Artifacts
) -> None:
    release = publish(artifacts, zipped(RECEIVER))
    assert fetch(folder, release).returncode == 0
    assert "has no bin/x" in refused(folder, release, programs=("bin/x",))


def test_rehearsal_tells_what_is_wrong_and_leaves_nothing(
    folder: Path, artifacts: Artifacts
) -> None:
    """So another archive of the running version is known before its node is drained."""
    installed(folder, artifacts, zipped(RECEIVER))
    before = tree(folder)
    other = publish(artifacts, script("#!/bin/sh"))
    result = fetch(folder, other, programs=("bin/receiver",), rehearse=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert tree(folder) == before
    text = refused(folder, other, programs=("bin/message-app",), rehearse=True)
    assert "has no bin/message-app" in text
