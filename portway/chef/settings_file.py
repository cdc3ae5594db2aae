"""The settings that were found, as lines for a file of ``group_data/``. Pure."""

import ast
import json
from collections.abc import Mapping
from typing import Any

from portway.errors import PortwayError

HEAD = "# Taken over from Chef with portway import-chef."


def settings_file(values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """An assignment a line, each with the attribute that it is.

    Exports are not trusted: the lines are read again as Python reads them. PortwayError
    if it would read anything else than these values.
    """
    lines = [
        f"{name} = {_literal(value)}  # {on_one_line(origins[name])}"
        for name, value in values.items()
    ]
    text = "\n".join([HEAD, *lines]) + "\n"
    if _read_again(text) != {name: repr(value) for name, value in values.items()}:
        raise PortwayError(
            f"{' and '.join(values)} cannot be written as Python",
            do="write them into group_data/ yourself",
        )
    return text


def _literal(value: object) -> str:
    if isinstance(value, str) and value.isprintable():
        return json.dumps(value, ensure_ascii=False)  # with the project's quotes
    return repr(value)


def on_one_line(text: str) -> str:
    """A text of an export's, such as the name of a role, with nothing else in it."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def _read_again(text: str) -> dict[str, str] | None:
    """What each name is, written out; None if the text has more than assignments."""
    found = {}
    try:
        for statement in ast.parse(text.encode()).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = repr(ast.literal_eval(value))
                case _:
                    return None
    except (SyntaxError, ValueError, RecursionError):
        return None
    return found
