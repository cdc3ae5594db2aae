"""What a run says, from what pyinfra says."""

import logging
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra import logger
from pyinfra.api.state import State

from portway.ops import pyinfra_errors
from portway.run.narration import Narration


@dataclass(frozen=True)
class Machine:
    name: str


HOSTS = {name: Machine(name) for name in ("lb-1", "lb-2")}


def state(*lost: str, changed: tuple[str, ...] = ()) -> State:
    """A run of one operation in which some hosts were lost."""
    meta = SimpleNamespace(
        is_complete=lambda: True,
        did_succeed=lambda: True,
        did_change=lambda: True,
    )
    connected = {host for name, host in HOSTS.items() if name not in lost}
    found: Any = SimpleNamespace(
        is_executing=True,
        failed_hosts={HOSTS[name] for name in lost},
        activated_hosts=connected,
        inventory=SimpleNamespace(iter_activated_hosts=lambda: iter(connected)),
        get_op_order=lambda: ["one"],
        op_meta={"one": SimpleNamespace(names={"deploys/lb.py | Write a file"})},
        ops={
            host: {"one": SimpleNamespace(operation_meta=meta)}
            if host.name in changed
            else {}
            for host in HOSTS.values()
        },
    )
    return cast(State, found)


def said(run: State, *lines: str) -> list[str]:
    """What is shown of some lines, those that were held back among it."""
    shown: list[str] = []

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(record.getMessage())

    narration, handler = Narration(run), Shown()
    logger.addHandler(handler)
    try:
        for line in lines:
            record = logging.LogRecord("pyinfra", 20, "", 0, line, (), None)
            if narration.filter(record):
                handler.handle(record)
    finally:
        logger.removeHandler(handler)
    return shown


def test_operation_is_named_only_if_there_is_something_to_say_of_it() -> None:
    lines = said(
        state(),
        "--> Starting operation: Install packages ",
        "[lb-1] No changes",
        "[lb-2] Skipped",
        "[app-1] Connected (to load fact: some.Facts (app=message-app))",
        "--> Starting operation: Write a file ",
        "[lb-1] No changes",
        "[lb-2] Success",
        "[lb-2] a warning",
    )
    assert lines == [
        "--> Starting operation: Write a file ",
        "[lb-2] Success",
        "[lb-2] a warning",
    ]


def test_end_has_a_line_for_each_node_in_place_of_the_table() -> None:
    (end,) = said(
        state(changed=("lb-2",)),
        "--> Results:",
        "Operation   Hosts   Success   Error   No Change",
        "--> Disconnecting from hosts...",
    )
    first, one, two, last = end.splitlines()
    assert first == "--> Done"
    assert one.split() == ["lb-1", "no", "changes"]
    assert two.strip() == "lb-2  1 change: Write a file"
    assert last.strip().startswith("exit status 0, after ")


def test_run_without_a_node_ends_with_1_and_says_so() -> None:
    (end,) = said(state("lb-2"), "--> Results:")
    assert "lb-2  could not be connected to" in end
    assert "exit status 1, after" in end


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            f"--> pyinfra error in {pyinfra_errors.__file__} line 71: no such stack",
            "--> Stopped: no such stack",
        ),
        (
            f"--> pyinfra error in {pyinfra_errors.__file__} line 71: a.j2: line 3: no",
            "--> Stopped: a.j2: line 3: no",
        ),
        (
            "--> pyinfra error: Over 0% of hosts failed (50%)",
            "--> Stopped: the reason is above",
        ),
        # People need to know where, in what they wrote themselves.
        ("--> Operation error in deploys/own.py line 3: no such file", None),
        ("--> An exception occurred in: deploys/own.py", None),
    ],
)
def test_errors_of_portway_are_told_in_its_own_words(
    line: str, shown: str | None
) -> None:
    (text,) = said(state(), line)
    assert text.splitlines()[0] == (shown or line)
