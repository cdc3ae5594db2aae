"""The Python modules that node programs consist of, copied from this package."""

from collections.abc import Iterator
from pathlib import Path

from portway.contract.paths import PYTHON_FOLDER
from portway.render.files import ManagedFile

PACKAGE = Path(__file__).parents[1]


def python_files(*patterns: str) -> tuple[ManagedFile, ...]:
    """The modules matching patterns below ``portway/``, and all of the contract.

    On the node they have the same import names as here. They are whole packages, each
    with its ``__init__``, so that another package named ``portway`` elsewhere on the
    node does not come before them.
    """
    wanted = ("contract/*.py", *patterns)
    modules = [module for pattern in wanted for module in PACKAGE.glob(pattern)]
    needed = {*modules, *(i for module in modules for i in _inits(module))}
    return tuple(
        ManagedFile(
            str(PYTHON_FOLDER / "portway" / source.relative_to(PACKAGE)),
            source.read_text(),
            "644",
        )
        for source in sorted(needed)
    )


def _inits(module: Path) -> Iterator[Path]:
    """The ``__init__`` of each package that a module is in."""
    for folder in module.relative_to(PACKAGE).parents:
        yield PACKAGE / folder / "__init__.py"
