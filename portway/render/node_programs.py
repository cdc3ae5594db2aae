"""The Python modules that node programs consist of, copied from this package."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from portway.contract.paths import PYTHON_FOLDER
from portway.render.files import ManagedFile

PACKAGE = Path(__file__).parents[1]
DIGITS = 12
"""Of a hash, in the name of a folder."""


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """The modules of a program on a node, in a folder that has only them."""

    folder: Path
    files: tuple[ManagedFile, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.files)


@cache
def node_program(*patterns: str) -> NodeProgram:
    """A program of the modules matching patterns below ``portway/``, and the contract.

    On the node they have the same import names as here. They are whole packages, each
    with its ``__init__``, so that another package named ``portway`` elsewhere on the
    node does not come before them.

    The folder is named after what is in it. Whatever starts the program names the
    folder, so it starts either version as a whole, whenever it starts.
    """
    wanted = ("contract/*.py", *patterns)
    modules = [module for pattern in wanted for module in PACKAGE.glob(pattern)]
    needed = sorted({*modules, *(i for module in modules for i in _inits(module))})
    sources = {
        source.relative_to(PACKAGE).as_posix(): source.read_text() for source in needed
    }
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()
    folder = PYTHON_FOLDER / digest[:DIGITS]
    return NodeProgram(
        folder,
        tuple(
            ManagedFile(str(folder / "portway" / path), content, "644")
            for path, content in sources.items()
        ),
    )


def _inits(module: Path) -> Iterator[Path]:
    """The ``__init__`` of each package that a module is in."""
    for folder in module.relative_to(PACKAGE).parents:
        yield PACKAGE / folder / "__init__.py"
