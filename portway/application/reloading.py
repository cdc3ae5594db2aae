"""What a failed reload goes back to: scripts for the node. Pure.

The process has taken over all, a part or nothing of a configuration that does not work.
With its previous one in place again, it and the process that systemd may start next are
the same.
"""

from pathlib import PurePosixPath

from portway.contract.paths import LOADED_FOLDER
from portway.render.application import Application, listing_path

COPY = "cp --preserve=mode,ownership"
"""With the time of now: writing a file removes what earlier runs left an hour ago."""
WENT_BACK = "went back"


def keep_script(wanted: Application) -> str:
    """Keep the files that a process has loaded, if they are the ones on the node."""
    copies = "\n".join(
        f"[ ! -f {path} ] || {COPY} {path} {kept} || exit 1"
        for path, kept in _kept(wanted)
    )
    record = LOADED_FOLDER / wanted.unit
    is_loaded = f"sha256sum <{wanted.config.path} | grep -qxFf - {record}"
    return f"{is_loaded} || exit 0\n{copies}"


def go_back_script(wanted: Application) -> str:
    """Put the kept files back, have the process load them, and say so."""
    moves = "\n".join(
        f"[ ! -f {kept} ] || mv -f {kept} {path} || exit 1"
        for path, kept in _kept(wanted)
    )
    (_, first), *_ = _kept(wanted)
    return (
        f"[ -f {first} ] || exit 0\n{moves}\n"
        f"systemctl reload {wanted.unit} && echo {WENT_BACK}"
    )


def forget_script(wanted: Application) -> str:
    """Remove the kept files."""
    return f"rm -f {' '.join(kept for _, kept in _kept(wanted))}"


def _kept(wanted: Application) -> tuple[tuple[str, str], ...]:
    """The files that a reload loads, and where the previous ones are kept.

    Under a name that the next write removes if a run leaves it behind.
    """
    paths = PurePosixPath(wanted.config.path), PurePosixPath(listing_path(wanted.unit))
    return tuple((str(p), f"{p.parent}/.{p.name}.portway-previous") for p in paths)
