"""Whatever pyinfra calls raises pyinfra's error; below there are only Portway's."""

import ast
import importlib
import traceback
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import PyinfraError

from portway.errors import PortwayError
from portway.ops.pyinfra_errors import (
    RunStopped,
    as_portway_error,
    failure,
    for_pyinfra,
    operation,
)

ROOT = Path(__file__).parents[3]
ENTRIES = [*(ROOT / "deploys").glob("*.py"), *(ROOT / "inventories").glob("*.py")]


class FakeHost:
    """Keeps what is printed for it."""

    def __init__(self) -> None:
        self.printed: list[str] = []

    def log_styled(self, text: str, **_: Any) -> None:
        self.printed.append(text)


def refuse() -> Any:
    raise PortwayError("clients.json: client_one: wrong; fix it")


def test_refusal_reaches_pyinfra_as_its_own_error_with_the_same_text() -> None:
    with pytest.raises(PyinfraError) as caught:
        for_pyinfra(refuse)()
    assert isinstance(caught.value, RunStopped)
    assert str(caught.value) == "clients.json: client_one: wrong; fix it"
    innermost = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert innermost.name == "refuse", "pyinfra prints the innermost file and line"


def test_operation_that_refuses_raises_pyinfras_error() -> None:
    def refusing() -> Any:
        yield refuse()

    guarded = operation(refusing)._inner
    with pytest.raises(RunStopped, match="wrong; fix it"):
        list(guarded())


@pytest.mark.parametrize("error", [PyinfraError("no"), OSError("no"), EOFError("no")])
def test_what_pyinfra_raises_is_named_after_the_node(error: Exception) -> None:
    expected = PortwayError if not isinstance(error, EOFError) else EOFError
    with pytest.raises(expected) as caught, as_portway_error("lb-1"):
        raise error
    if expected is PortwayError:
        assert str(caught.value) == "lb-1: no"


def test_failed_command_prints_its_text_and_stops_the_run() -> None:
    host = FakeHost()
    command = failure("does not serve", ["a is down", "b is down"])
    assert command.execute(None, host, {}) is False  # type: ignore[arg-type]
    assert host.printed == ["does not serve:\n  a is down\n  b is down"]


def test_commands_show_none_of_what_they_work_with() -> None:
    assert "secret" not in repr(failure("the secret", ["secret"]))


def imported(path: Path) -> list[tuple[str, str]]:
    """The names that a deploy or an inventory takes from Portway."""
    return [
        (str(node.module), alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("portway")
        for alias in node.names
    ]


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.name)
def test_everything_that_pyinfra_calls_passes_the_seam(path: Path) -> None:
    """Operations and guarded functions wrap something; nothing else does."""
    for module, name in imported(path):
        called = getattr(importlib.import_module(module), name)
        assert hasattr(called, "__wrapped__"), (
            f"{path.name} calls {module}.{name}, whose PortwayErrors would end in a "
            "traceback; decorate it with for_pyinfra or operation"
        )
