"""An application node that is about to stop: its streams end first.

Its last run has left what is needed for it, so AWS is not asked, nor anybody else. Nor
is it for one that comes back as it was.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from portway.application.doors import FORGET, Doorkeeper, Doors
from portway.contract.paths import DOORS, OUT_OF_SERVICE
from portway.errors import PortwayError

LEAVING = "leaving"
"""What the mark of a node says that is about to stop."""


def leave(
    tell: Callable[[str], None], path: Path = DOORS, mark: Path = OUT_OF_SERVICE
) -> None:
    """Take this machine out of service, and wait until its streams have ended.

    PortwayError if its runs have not left what it takes, or the packet filter refuses.
    """
    try:
        doors = Doors.from_json(path.read_text())
    except FileNotFoundError:
        raise PortwayError(
            "nothing is to be drained",
            why=f"there is no {path}: this machine has not served since its runs keep "
            "what it takes",
        ) from None
    except (OSError, ValueError) as error:
        raise PortwayError(f"{path} cannot be used: {error}") from error
    keeper = Doorkeeper(doors, _run, tell)
    if mark.exists() and mark.read_text().strip() == LEAVING:
        keeper.stay_closed()  # another one has closed them
        return
    keeper.close()
    _run(f"echo {LEAVING} >{OUT_OF_SERVICE}", None)


def come_back(tell: Callable[[str], None], mark: Path = OUT_OF_SERVICE) -> None:
    """Let clients onto this machine again if a run has left it out and as it was.

    PortwayError if the packet filter refuses.
    """
    try:
        is_changed = bool(mark.read_text().strip())
    except FileNotFoundError:
        return
    except OSError as error:
        raise PortwayError(f"{mark} cannot be read ({error.strerror})") from error
    if not is_changed:
        tell("a run left this node out of service as it was: clients are let in again")
        _run(FORGET, None)


def _run(script: str, stdin: str | None) -> list[str]:
    """Run a script on this machine. PortwayError, with what it said, if it fails."""
    done = subprocess.run(  # noqa: S603 - scripts of doors.py
        ["/bin/sh", "-c", script],
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise PortwayError(f"a command failed: {said}")
    return done.stdout.splitlines()
