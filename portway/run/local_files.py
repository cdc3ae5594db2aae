"""Files on the operator's machine, written whole: no reader sees half of one."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from portway.errors import PortwayError

PRIVATE, SHARED = 0o600, 0o644
"""Modes of files that are new; others keep theirs."""


def replace_file(path: Path, text: str, mode: int = PRIVATE) -> None:
    """Write one file. PortwayError if it cannot be written; it is as it was then."""
    replace_files({path: text}, mode)


def replace_files(texts: Mapping[Path, str], mode: int = PRIVATE) -> None:
    """Write files, and put none in place before all are written.

    PortwayError names the one that cannot be.
    """
    fresh: dict[Path, Path] = {}
    path = Path()
    try:
        for path, text in texts.items():
            target = path.resolve()  # it may be a link
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _make_folder(target.parent, mode)
            has = target.stat().st_mode & 0o777 if target.exists() else mode
            fresh[target] = target.with_name(f".{target.name}.{os.getpid()}")
            fresh[target].write_text(text, encoding="utf-8", errors="surrogateescape")
            fresh[target].chmod(has)
        for path in texts:
            fresh[path.resolve()].replace(path.resolve())
    except OSError as error:
        for file in fresh.values():
            file.unlink(missing_ok=True)
        raise PortwayError(f"{path} cannot be written ({error.strerror})") from error


def _make_folder(folder: Path, mode: int) -> None:
    """Whoever may read the files may look into their folder."""
    try:
        folder.mkdir(mode | (mode & 0o444) >> 2, parents=True, exist_ok=True)
    except FileExistsError:
        code = errno.ENOTDIR
        raise NotADirectoryError(code, os.strerror(code)) from None
