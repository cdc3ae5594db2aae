"""Reads ``group_data/`` as pyinfra does, without pyinfra, an inventory or AWS.

What a file says about a group of hosts is known together with its place, so that people
can be told where a setting comes from.
"""

import ast
import sys
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portway.errors import GROUP_DATA, PortwayError, Problem, refuse_if_any
from portway.model.settings import Settings, settings_from

EVERYONE = "all"
"""The group that every host is in; what it says counts least."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A value that a file gives a setting."""

    value: Any
    group: str
    file: str
    """Relative to the project's folder, if it is in it."""
    line: int
    """0 if the file does not assign it in a way that a reader can see."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class GroupData:
    """What the files say, by group, the file that counts most last."""

    files: Mapping[str, tuple[Mapping[str, Assigned], ...]]

    def assigned(self, groups: Iterable[str]) -> dict[str, tuple[Assigned, ...]]:
        """All values of each setting for hosts in these groups; the last one counts.

        ``groups`` are in the order in which pyinfra has them, without ``all``.
        """
        found: defaultdict[str, tuple[Assigned, ...]] = defaultdict(tuple)
        for group in dict.fromkeys((EVERYONE, *groups)):
            for file in self.files.get(group, ()):
                for name, assigned in file.items():
                    found[name] += (assigned,)
        return dict(found)

    def settings(self, groups: Iterable[str]) -> Settings:
        """The settings of hosts in these groups.

        Raises PortwayError with every unknown or invalid one.
        """
        counting = {n: values[-1] for n, values in self.assigned(groups).items()}
        return settings_from(
            {name: assigned.value for name, assigned in counting.items()},
            {name: assigned.place for name, assigned in counting.items()},
        )

    def clients_file(self, groups: Iterable[str]) -> Path | None:
        """What the settings of these hosts name, whatever is wrong with others."""
        assigned = self.assigned(groups).get("clients_file")
        value = assigned[-1].value if assigned else None
        return Path(value) if isinstance(value, str) else None


def read_group_data(inventory: Path, project: Path | None = None) -> GroupData:
    """What all files say that a run with this inventory reads, whoever they are for.

    Those in the project's folder, and those beside the inventory, which count more.
    Raises PortwayError that names every file which cannot be read.
    """
    project = project or Path.cwd()
    folders = [project / GROUP_DATA]
    if inventory.parent.resolve() != project.resolve():
        folders.append(inventory.parent.resolve() / GROUP_DATA)
    found: defaultdict[str, tuple[Mapping[str, Assigned], ...]] = defaultdict(tuple)
    problems = []
    for folder in folders:
        for file in sorted(folder.glob("*.py")):
            name = _relative(file, project)
            try:
                values = _evaluated(file)
            except _Unreadable as error:
                problems.append(Problem(name, error.line, error.reason))
                continue
            lines = _lines(file)
            found[file.stem] += (
                {
                    key: Assigned(value, file.stem, name, lines.get(key, 0))
                    for key, value in values.items()
                },
            )
    refuse_if_any(problems)
    return GroupData(dict(found))


def existing(inventory: Path) -> Path:
    """The same; PortwayError if there is no such file."""
    if not inventory.is_file():
        raise PortwayError(
            f"{inventory}: there is no such inventory",
            do="call it in the folder of your checkout",
        )
    return inventory


def inventory_groups(inventory: Path) -> tuple[tuple[str, ...], ...]:
    """The groups of each kind of host in an inventory, as far as its text tells.

    A host is in one of the groups that the file assigns, and in that of its name.
    Raises PortwayError if it is no Python.
    """
    try:
        tree = ast.parse(inventory.read_text(encoding="utf-8"), str(inventory))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        refuse_if_any([Problem(str(inventory), "", f"cannot be read: {reason}")])
    names = [
        target.id
        for statement in tree.body
        for target in _targets(statement)
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    ]
    kinds = [name for name in names if name not in (inventory.stem, EVERYONE)]
    return tuple((name, inventory.stem) for name in kinds) or ((inventory.stem,),)


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []


class _Unreadable(Exception):  # noqa: N818 - becomes a Problem
    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = f"line {line}" if line else ""
        self.reason = reason


def _evaluated(file: Path) -> dict[str, Any]:
    """The variables of a file, as pyinfra takes them: without what it imports."""
    found: dict[str, Any] = {"__file__": str(file)}
    try:
        text = file.read_text(encoding="utf-8")
        with redirect_stdout(sys.stderr):  # a verb's answer has standard output
            exec(compile(text, str(file), "exec"), found)  # noqa: S102 - as pyinfra
    except SyntaxError as error:
        raise _Unreadable(error.lineno, f"is not valid Python: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _Unreadable(_line_in(file, error), f"cannot be read: {error}") from error
    except (Exception, SystemExit) as error:
        text = f"raises {type(error).__name__}: {error}; correct it: every run reads it"
        raise _Unreadable(_line_in(file, error), text) from error
    exported = _exported(file, text, found)
    return {
        key: value
        for key, value in found.items()
        if key in exported and not key.startswith("__")
    }


def _exported(file: Path, text: str, found: Mapping[str, Any]) -> Collection[str]:
    """The names that a file gives to hosts."""
    if "__all__" not in found:
        return found.keys() - set(_borrowed(ast.parse(text)))
    names = found["__all__"]
    if isinstance(names, list | tuple | set) and all(isinstance(n, str) for n in names):
        return names
    line = _lines(file).get("__all__")
    raise _Unreadable(line, "__all__ is no list of names; correct it")


def _line_in(file: Path, error: BaseException) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return lines[-1] if lines else None


def _borrowed(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield alias.asname or alias.name.split(".")[0]
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name


def _lines(file: Path) -> dict[str, int]:
    """The line of each variable's last assignment."""
    names = (
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    return {node.id: node.lineno for node in sorted(names, key=lambda n: n.lineno)}


def _relative(file: Path, project: Path) -> str:
    try:
        return str(file.relative_to(project))
    except ValueError:
        return str(file)
