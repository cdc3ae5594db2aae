"""Whether the programs that the settings name are in a release and can be started.

Only what is sure is refused: which programs a script finds in its PATH is not, because
a unit may set it.
"""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from portway.node.releases.refused import RefusedError

MOST_SHOWN = 3
MOST_AT_TOP = 10
LONGEST_FIRST_LINE = 256
"""As much of a script as the kernel looks at."""


def refuse_missing(root: Path, programs: Iterable[str], folder: Path) -> None:
    """Refuse a release whose programs could not be started.

    ``folder`` is the application's: what is below is there only once it runs.
    """
    for program in programs:
        path = root / program
        if not path.is_file():
            raise _missing(root, program)
        if not path.stat().st_mode & stat.S_IXUSR:
            raise RefusedError(
                f"{program} is not executable in the archive",
                "get one in which it is",
            )
        _refuse_interpreter(path, program, folder)


def _missing(root: Path, program: str) -> RefusedError:
    said = f"the release has no {program}"
    same = sorted(_named(root, Path(program).name))
    if same:
        return RefusedError(
            f"{said}, but {', '.join(same[:MOST_SHOWN])}",
            "set app_command and app_test_command to what is there",
        )
    top = ", ".join(sorted(entry.name for entry in root.iterdir())[:MOST_AT_TOP])
    return RefusedError(
        f"{said}; at its top are {top or 'no files'}",
        "check app_command, app_test_command and artifact_path",
    )


def _named(root: Path, name: str) -> Iterator[str]:
    for path in root.rglob(glob.escape(name)):
        if path.is_file():
            yield str(path.relative_to(root))


def _refuse_interpreter(path: Path, program: str, folder: Path) -> None:
    """Refuse a script whose first line names a program that the node does not have."""
    with path.open("rb") as file:
        first = file.read(LONGEST_FIRST_LINE).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return
    if first.endswith(b"\r"):
        raise RefusedError(
            f"the lines of {program} end as on Windows, so that it cannot be started",
            "get an archive in which they do not",
        )
    interpreter = next(iter(os.fsdecode(first[2:]).split()), "")
    if not interpreter.startswith("/") or interpreter.startswith(f"{folder}/"):
        return
    if not Path(interpreter).exists():
        raise RefusedError(
            f"{program} is a script for {interpreter}, which this node does not have",
            "install it in the nodes' image, or get an archive that brings it",
        )
