"""Nothing changes a node but through the fence."""

import logging
import re
from pathlib import Path

import pytest
from pyinfra import logger
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from portway.ops import fence
from portway.ops.differences import Difference
from portway.ops.findings import findings

DIFFERENCE = Difference("file", "/etc/a", "is missing", "hash")
LIBRARY = Path(__file__).parents[3] / "portway"


def test_commands_are_made_in_one_place() -> None:
    makers = {
        str(path.relative_to(LIBRARY))
        for path in LIBRARY.rglob("*.py")
        if "StringCommand(" in path.read_text()
    }
    assert makers == {"ops/fence.py", "ops/remote.py"}


def test_work_is_done_where_it_says_what_for() -> None:
    """What ``reported`` alone would run, a look would not see."""
    users = {
        str(path.relative_to(LIBRARY))
        for path in LIBRARY.rglob("*.py")
        if re.search(r"\breported\(|FunctionCommand\(", path.read_text())
    }
    assert users == {"ops/fence.py", "ops/pyinfra_errors.py"}


class Node:
    """What is used of a host."""

    name = "lb-1"
    print_prefix = "[lb-1] "


@pytest.mark.parametrize("stdin", [None, "content"])
def test_change_goes_through_the_fence_that_was_put_up(stdin: str | None) -> None:
    with ctx_state.use(State()), ctx_host.use(Node()):
        (plain,) = fence.change([DIFFERENCE], "true", stdin)
        fence.put_up(lambda name, script: f"may change {name} && {script}")
        (fenced,) = fence.change([DIFFERENCE], "true", stdin)
        assert list(findings().differences) == [("lb-1", DIFFERENCE)]
    assert str(plain) == "true"
    assert str(fenced) == "may change lb-1 && true"
    assert fenced.connector_arguments == ({"_stdin": stdin} if stdin else {})


@pytest.mark.parametrize("executing", [False, True])
def test_run_says_what_a_change_is_for_when_it_is_made(executing: bool) -> None:
    lines: list[str] = []

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, run = Shown(), State()
    run.is_executing = executing
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with ctx_state.use(run), ctx_host.use(Node()):
            list(fence.change([DIFFERENCE], "true"))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    assert lines == (["[lb-1] file /etc/a: is missing"] if executing else [])
