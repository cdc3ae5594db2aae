"""The stack as AWS described it last, for a look at nodes while AWS does not answer.

It has no secrets. Nothing that changes a node uses it.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from portway.errors import PortwayError
from portway.model.saved import stack_from_json, stack_to_json
from portway.model.stack import Stack
from portway.run.local_files import replace_file


def folder() -> Path:
    """Where they are kept, on the operator's machine."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given else Path.home() / ".cache") / "portway"


def remember(stack: Stack, asked: tuple[str, str]) -> None:
    """Keep a stack; a full or read-only disk must not stop anybody from looking."""
    path = _path(asked)
    with suppress(PortwayError):
        replace_file(path, stack_to_json(stack))


def recall(asked: tuple[str, str]) -> tuple[Stack, datetime] | None:
    """The stack of a name and region, and when it was read; None if none is known."""
    path = _path(asked)
    try:
        stack = stack_from_json(path.read_text())
        return stack, datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError):
        return None


def _path(asked: tuple[str, str]) -> Path:
    # The name may be an ARN.
    return folder() / ("-".join(asked).replace("/", "_") + ".json")
