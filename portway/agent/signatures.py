"""Who has signed a release: OpenSSH's signatures of files.

    ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n portway-release releases/X.tar

A node that knows signers takes no release that none of them has signed.
"""

import subprocess
from pathlib import Path

from portway.errors import PortwayError
from portway.model.published import NAMESPACE
from portway.model.signers import named

SECONDS = 60
"""How long ssh-keygen may take: it reads the whole archive."""


def signers_in(file: Path) -> list[str]:
    """The lines of a file that name signers; none if there is no such file.

    PortwayError if it cannot be read: nobody knows then whether one is asked for.
    """
    try:
        return named(file.read_text(errors="replace"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PortwayError(f"{file} cannot be read ({error.strerror})") from error


def verify(archive: Path, signature: Path, signers: Path) -> str:
    """Who has signed an archive. PortwayError if it is none of the signers."""
    about = f"release {archive.name}"
    find = ("find-principals", "-s", str(signature), "-f", str(signers))
    found = _ssh_keygen(archive, *find)
    for name in found.stdout.splitlines():
        check = ("verify", "-f", str(signers), "-I", name, "-n", NAMESPACE)
        found = _ssh_keygen(archive, *check, "-s", str(signature))
        if found.returncode == 0:
            return name
    said = " ".join((found.stderr or found.stdout).split())[-300:]
    raise PortwayError(
        f"{about} is not signed by anybody whom {signers} has",
        why=said,
        do=f"sign it: ssh-keygen -Y sign -f KEY -n {NAMESPACE} {archive.name}, and "
        "publish it again",
    )


def _ssh_keygen(archive: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        with archive.open("rb") as signed:
            return subprocess.run(  # noqa: S603 - OpenSSH's own
                ["/usr/bin/ssh-keygen", "-Y", *words],
                stdin=signed,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PortwayError(
            f"release {archive.name}: its signature cannot be checked: {error}"
        ) from error
