"""The vendor's SQL files: read from their folder, and checked before any is applied."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from portway.database.mysql.checks import file_problems as mysql_problems
from portway.database.postgres.scripts import file_problem
from portway.database.state import (
    POSTGRES,
    RECORD,
    FoundDatabase,
    SqlFile,
    WantedDatabase,
)
from portway.errors import PortwayError, Problem

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LOOKS_LIKE_SQL = re.compile(r"\.sql(\.\w+)*$", re.IGNORECASE)


def read_sql_files(folder: Path) -> tuple[SqlFile, ...]:
    """The files ``*.sql`` of a folder, in the order of their names: see ``place``.

    Raises PortwayError if there are none, or if one is not text.
    """
    try:
        paths = sorted(
            (path for path in folder.iterdir() if path.suffix == ".sql"),
            key=lambda path: place(path.name),
        )
    except OSError as error:
        raise PortwayError(
            f"group_data: database_sql_dir: {folder} cannot be read ({error.strerror})",
            do="name the folder of the SQL files, or leave it out",
        ) from None
    if not paths:
        raise PortwayError(
            f"group_data: database_sql_dir: {folder} has no *.sql file",
            do="name the folder of the SQL files, or leave it out",
        )
    return tuple(map(_read, paths))


def place(name: str) -> tuple[tuple[str | tuple[int, ...], ...], str]:
    """Where a file's name stands: versions count as such, V2 before V2.1 and V10."""
    parts = re.split(r"(\d+(?:\.\d+)*)", name)
    return tuple(
        tuple(map(int, part.split("."))) if number % 2 else part
        for number, part in enumerate(parts)
    ), name


def passed_over(folder: Path) -> tuple[str, ...]:
    """What looks like an SQL file, in the folder or below it, and is not applied."""
    found = (
        path.relative_to(folder)
        for path in folder.rglob("*")
        if LOOKS_LIKE_SQL.search(path.name) and path.is_file()
    )
    return tuple(
        sorted(str(p) for p in found if len(p.parts) > 1 or p.suffix != ".sql")
    )


def _read(path: Path) -> SqlFile:
    if not NAME.fullmatch(path.name):
        raise PortwayError(
            f"{path}: rename it to up to 100 letters, digits, dots, dashes and "
            "underscores, the first a letter or digit"
        )
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise PortwayError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise PortwayError(
            f"{path}: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from None
    if not text.strip():
        raise PortwayError(f"{path}: is empty; fill it or remove it")
    return SqlFile(path.name, hashlib.sha256(content).hexdigest(), text)


def file_problems(
    folder: str, wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Problem]:
    """Everything about the files that must be fixed before any is applied."""
    if not wanted.files:
        return
    applied = found.applied or {}
    names = {file.name for file in wanted.files}
    for file in wanted.files:
        recorded = applied.get(file.name)
        if recorded is None:
            problem = _order_problem(file.name, applied) or (
                file_problem(file, wanted, found.login)
                if wanted.engine == POSTGRES
                else None
            )
            if not problem and found.maker:
                for text in mysql_problems(file, wanted, found.maker):
                    yield Problem(folder, file.name, text)
        elif not recorded.finished:
            problem = (
                f"was begun on {recorded.at} and never finished, so part of it may "
                "have taken effect; undo that part and forget the file with "
                f"{_forget(wanted, file.name)}, or finish it by hand and run UPDATE "
                f"{RECORD}.sql_files SET state = 'done' "
                f"WHERE name = '{file.name}' AND schema_name = '{wanted.schema}'"
            )
        elif recorded.sha256 != file.sha256:
            problem = (
                f"was changed after it had been applied on {recorded.at}; restore it, "
                "and put what is new into a file of its own"
            )
        else:
            continue
        if problem:
            yield Problem(folder, file.name, problem)
    for name in sorted(set(applied) - names):
        yield Problem(
            folder,
            name,
            f"was applied on {applied[name].at} and is missing; put it back, or, if "
            f"it is gone for good, forget it with {_forget(wanted, name)}",
        )


def _forget(wanted: WantedDatabase, name: str) -> str:
    return (
        f"DELETE FROM {RECORD}.sql_files WHERE name = '{name}' "
        f"AND schema_name = '{wanted.schema}'"
    )


def _order_problem(name: str, applied: Iterable[str]) -> str | None:
    later = sorted((o for o in applied if place(o) > place(name)), key=place)
    if not later:
        return None
    return (
        f"comes before {later[-1]}, which is applied already; give it a name that "
        "comes after it"
    )
