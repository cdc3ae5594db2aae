"""A look finds what operations would change, and goes on where one cannot."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from portway.errors import PortwayError
from portway.ops import fence
from portway.ops.differences import Difference
from portway.ops.findings import Findings, findings, look_only
from portway.ops.pyinfra_errors import Commands, operation, reported

MISSING = Difference("file", "/etc/a", "is missing", "hash")


@pytest.fixture
def found() -> Iterator[Findings]:
    """What a look at one node finds."""
    with ctx_state.use(State()), ctx_host.use(SimpleNamespace(name="lb-1")):
        look_only()
        yield findings()


def prepare(function: Callable[[], Commands]) -> bool:
    """Whether an operation has something to do, as pyinfra finds out."""
    run: Any = operation(function)._inner
    return next(run(), None) is not None


def test_change_is_found_with_what_it_is_for(found: Findings) -> None:
    assert prepare(lambda: fence.change([MISSING], "true"))
    assert list(found.differences) == [("lb-1", MISSING)]
    assert not found.unknown


def test_operation_that_does_not_say_what_for_is_told(found: Findings) -> None:
    def silent() -> Commands:
        yield reported(lambda: None)

    assert prepare(silent)
    ((node, text),) = found.unknown
    assert node == "lb-1"
    assert "silent changes something and does not say what" in text


def test_each_operation_of_a_node_says_what_for(found: Findings) -> None:
    def silent() -> Commands:
        yield reported(lambda: None)

    prepare(lambda: fence.change([MISSING], "true"))
    prepare(lambda: fence.change([MISSING], "true"))  # the same again is no silence
    assert not found.unknown
    prepare(silent)
    assert len(found.unknown) == 1


def test_what_an_operation_cannot_find_out_stops_only_itself(found: Findings) -> None:
    def refused() -> Commands:
        raise PortwayError("app-1: it does not answer")
        yield

    assert not prepare(refused)
    assert list(found.unknown) == [("lb-1", "app-1: it does not answer")]
