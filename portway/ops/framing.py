"""What a script printed, told from what the node's login shell printed around it.

Some images print a notice from ``.bashrc`` or ``/etc/profile.d`` for every command. A
line before and after the script's own says which lines are the script's.
"""

import inspect
from collections.abc import Iterable
from functools import wraps
from typing import Any, TypeVar

from pyinfra.api import FactBase

T = TypeVar("T")
BEGIN, END = ":portway:begin:", ":portway:end:"


def framed(script: str) -> str:
    """The script, with a line before and after what it prints, and its status."""
    return f"echo {BEGIN}; (\n{script}\n); s=$?; echo {END}; exit $s"


def unframed(lines: Iterable[str]) -> list[str]:
    """The lines that the script printed itself; none if it did not run."""
    found: list[str] = []
    inside = False
    for line in lines:
        if not inside:
            inside = line.endswith(BEGIN)
        elif line.endswith(END):
            # A script may end without a newline, which is no line then.
            return [*found, last] if (last := line.removesuffix(END)) else found
        else:
            found.append(line)
    return found


def parts(lines: Iterable[str]) -> list[list[str]]:
    """What several framed scripts printed, one after the other, each with its frame."""
    found: list[list[str]] = []
    for line in lines:
        if line.endswith(BEGIN):
            found.append([])
        if found:
            found[-1].append(line)
    return found


class NodeFact(FactBase[T]):
    """A fact whose ``process`` gets the lines of its ``command``, and no others.

    Lines without a frame are taken as they are.
    """

    def __init_subclass__(cls) -> None:
        """Frame the command that the class declares."""
        command, process = cls.command, cls.process

        @wraps(command)
        def framed_command(self: Any, *words: Any, **arguments: Any) -> str:
            return framed(str(command(self, *words, **arguments)))

        @wraps(process)
        def framed_process(self: Any, output: list[str]) -> T:
            if any(line.endswith(BEGIN) for line in output):
                output = unframed(output)
            return process(self, output) if output else self.default()

        # pyinfra looks at the arguments that the command takes.
        vars(framed_command)["__signature__"] = inspect.signature(command)
        cls.command = framed_command
        cls.process = framed_process  # type: ignore[method-assign]
        super().__init_subclass__()
