"""The seam where Portway's errors become pyinfra's, and pyinfra's become Portway's.

pyinfra prints a PyinfraError as one paragraph and exits with status 1; anything else
that leaves a deploy or an inventory becomes a traceback. So whatever pyinfra calls
passes through here: operations through ``operation``, other functions that deploys and
inventories call through ``for_pyinfra``. Below the seam there are only PortwayErrors.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api import operation as pyinfra_operation
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operation import PyinfraOperation
from pyinfra.api.state import State

from portway.errors import PortwayError
from portway.ops.findings import findings, is_look, is_unknown

Commands = Generator[StringCommand | FunctionCommand, None, None]
"""What an operation yields."""

P = ParamSpec("P")
R = TypeVar("R")


class RunStopped(PyinfraError):  # noqa: N818 - a refusal, not an error of the program
    """A PortwayError on its way to the user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def for_pyinfra(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function that a deploy or an inventory calls raise pyinfra's error."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with _as_pyinfra_error():
            return function(*args, **kwargs)

    return guarded


def operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """Make a generator of commands a pyinfra operation."""

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Commands:
        if is_look():
            yield from _looked_at(function.__name__, function(*args, **kwargs))
            return
        with _as_pyinfra_error():
            yield from function(*args, **kwargs)

    return pyinfra_operation()(guarded)


def _looked_at(name: str, commands: Commands) -> Commands:
    """What an operation would do in a run; what it cannot find out stops only itself.

    It must have said which differences its command is for.
    """
    before = findings().told[host.name]
    try:
        for command in commands:
            if findings().told[host.name] == before:
                is_unknown(host.name, f"{name} changes something and does not say what")
            yield command
    except PortwayError as error:
        is_unknown(host.name, error.message)


@contextmanager
def _as_pyinfra_error() -> Iterator[None]:
    try:
        yield
    except PortwayError as error:
        # With its own traceback, because pyinfra prints the innermost file and line.
        raise RunStopped(error.message).with_traceback(error.__traceback__) from error


@contextmanager
def as_portway_error(
    about: str, kind: type[PortwayError] = PortwayError
) -> Iterator[None]:
    """Turn what pyinfra or its SSH connection raises inside into a PortwayError."""
    try:
        yield
    except (PyinfraError, OSError, SSHException) as error:
        raise kind(f"{about}: {error}") from error


def reported(work: Callable[[], None]) -> FunctionCommand:
    """A command that does some work; a PortwayError is printed and stops the run."""

    # pyinfra recognises the signature by these names and takes the result for success.
    def run(state: State, host: Host) -> bool:  # noqa: ARG001
        try:
            work()
        except PortwayError as error:
            host.log_styled(error.message, fg="red", log_func=logger.error)
            return False
        return True

    return FunctionCommand(run, (), {})


def failure(what: str, problems: Iterable[str], do: str = "") -> FunctionCommand:
    """A command that fails, with a line for each problem, and so stops the run."""

    def fail() -> None:
        raise PortwayError(f"{what}:", why="\n  ".join(problems), do=do)

    return reported(fail)
