"""The reference tables, generated from where settings and fields are declared.

``python -m portway.cli.reference docs/reference.md`` replaces the tables between their
marks.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from portway.model.clients import Client
from portway.model.settings import Settings

TABLES: dict[str, tuple[type[BaseModel], Callable[[object], str]]] = {
    "settings": (Settings, repr),
    "client fields": (Client, json.dumps),
}
"""Models by the name of their mark, and how their users write a value."""


def table(model: type[BaseModel], written: Callable[[object], str]) -> str:
    """A Markdown table of a model's fields: name, default, meaning."""
    lines = ["| name | default | meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        default = "required"
        if field.default is not PydanticUndefined:
            default = f"`{written(field.default)}`" if field.default is not None else ""
        lines.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """The text with every marked table replaced.

    Raises ValueError if a mark is missing.
    """
    for name, (model, written) in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if start not in text or end not in text:
            raise ValueError(f"the marks {start} and {end} are missing")
        pattern = re.escape(start) + ".*?" + re.escape(end)
        marked = f"{start}\n{table(model, written)}\n{end}"
        text = re.sub(pattern, marked.replace("\\", r"\\"), text, flags=re.DOTALL)
    return text


def main(path: Path) -> None:
    """Replace the tables of one file."""
    path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
