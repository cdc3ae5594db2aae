"""The Python modules that node programs consist of, copied from this package."""

from collections.abc import Iterator
from pathlib import Path

from portway.contract.paths import PYTHON_FOLDER
from portway.render.files import ManagedFile

PACKAGE = Path(__file__).parents[1]


def python_files(pattern: str) -> tuple[ManagedFile, ...]:
    """The modules matching a pattern below ``portway/``, and all of the contract.

    On the node they have the same import names as here. A package's ``__init__`` is
    documentation and is not copied.
    """
    return tuple(
        ManagedFile(
            str(PYTHON_FOLDER / "portway" / source.relative_to(PACKAGE)),
            source.read_text(),
            "644",
        )
        for source in _sources("contract/*.py", pattern)
    )


def _sources(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        for source in sorted(PACKAGE.glob(pattern)):
            if source.name != "__init__.py":
                yield source
