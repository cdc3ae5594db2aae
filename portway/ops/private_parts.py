"""The private parts of dependencies that Portway relies on, and nothing else.

Each is here because the library offers no public way. A test for each fails when an
upgrade takes it away.
"""

import builtins
import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from typing import Any

from gevent.socket import wait_read
from paramiko.config import SSHConfig
from paramiko.hostkeys import HostKeyEntry, HostKeys
from paramiko.ssh_exception import SSHException
from pyinfra.api import arguments, util
from pyinfra.api.state import State, StateStage
from pyinfra.connectors.sshuserclient import client

from portway.errors import PortwayError
from portway.model.host_keys import covers
from portway.ops.pyinfra_errors import RunStopped


def never_ask_after_failure(state: State) -> None:
    """Make a failure end the run.

    pyinfra's command line asks whether to go on with the next host; it has no option
    against that but ``-y``.
    """
    state.should_raise_failed_hosts = None


def go_on_after_failure_if(state: State, may: Callable[[State], bool]) -> None:
    """Ask a function, not people, whether a run goes on after hosts have failed."""
    state.should_raise_failed_hosts = lambda state: not may(state)


_input = builtins.input


def let_signals_end_prompts() -> None:
    """Have pyinfra's prompts wait where a signal can end the run.

    They are Python's ``input``, which gevent does not know: while it reads, nothing
    else runs, and what a signal begins would wait for somebody to press Enter.
    """
    builtins.input = _input_when_ready


def _input_when_ready(prompt: object = "", /) -> str:
    if not sys.stdin.isatty():
        return _input_or_refusal(prompt)
    print(prompt, end="", flush=True)
    wait_read(sys.stdin.fileno())  # a terminal has a whole line, or nothing
    return _input()


def _input_or_refusal(prompt: object) -> str:
    """What comes in from a pipe; where nothing does, pyinfra would show a traceback."""
    try:
        return _input(prompt)
    except EOFError:
        error = PortwayError(
            "the run shows what it will do and waits for Enter, and nobody is there",
            why="its standard input has ended; nothing was changed",
            do="in scripts and timers, add -y",
        )
        raise RunStopped(error.message) from None


def set_answer_timeout_pg8000(connection: Any, seconds: float) -> None:
    """Bound how long a pg8000 connection waits for the server, once it is made."""
    connection._usock.settimeout(seconds)


def set_answer_timeout_pymysql(connection: Any, seconds: float) -> None:
    """Bound how long a PyMySQL connection waits for the server, once it is made."""
    if not hasattr(connection, "_read_timeout"):
        raise AttributeError("PyMySQL connections have no _read_timeout any more")
    connection._read_timeout = seconds


def before_connecting(state: State, work: Callable[[], None]) -> None:
    """Do some work when pyinfra has made its hosts and not connected to any.

    Its callbacks are asked per host, all at the same time, and cannot end the run.
    """
    set_stage = state.set_stage

    def and_work(stage: StateStage) -> None:
        set_stage(stage)
        if stage is StateStage.Connect:
            work()

    state.set_stage = and_work  # type: ignore[method-assign]


def spare_needless_work() -> None:
    """Have pyinfra not do for each operation what it needs once, or not at all.

    For the line numbers that order operations it has ``inspect`` find the source of
    every calling function, which nobody looks at. The types of the arguments that all
    operations have are worked out again each time.
    """
    util.stack = partial(inspect.stack, context=0)
    util.getframeinfo = partial(inspect.getframeinfo, context=0)
    arguments.all_global_arguments = cache(arguments.all_global_arguments)


def host_lines(config: SSHConfig) -> list[list[str]]:
    """The patterns of each ``Host`` line, and of each ``Match`` of a host.

    The public call fails if there is a ``Match``, and does not tell lines apart.
    """
    parts: Any = vars(config)["_config"]
    lines = [list(part["host"]) for part in parts if "host" in part]
    for part in parts:
        for match in part.get("matches", ()):
            if match["type"] in ("host", "originalhost") and not match["negate"]:
                lines.append(match["param"].split(","))
    return lines


KNOWN_MATCHES = (
    *("all", "canonical", "exec", "final"),
    *("host", "localuser", "originalhost", "user"),
)
"""The criteria of ``Match`` that paramiko judges; it takes any other for true."""


def leave_out_unknown_matches(config: SSHConfig) -> None:
    """Have blocks whose ``Match`` paramiko cannot judge count for nothing."""
    parts: Any = vars(config)["_config"]
    parts[:] = [
        part
        for part in parts
        if all(match["type"] in KNOWN_MATCHES for match in part.get("matches", ()))
    ]


class PatternHostKeys(HostKeys):
    """Known host keys whose names may be patterns, as OpenSSH takes them."""

    def append(self, names: Iterable[str], kind: str, data: str) -> None:
        """Add a line; one whose key paramiko does not take is left out."""
        with suppress(SSHException):
            entry = HostKeyEntry.from_line(f"{','.join(names)} {kind} {data}")
            if entry is not None:
                vars(self)["_entries"].append(entry)

    def _hostname_matches(self, hostname: str, entry: HostKeyEntry) -> bool:
        return covers(entry.hostnames or (), hostname)


def read_host_keys_by(read: Callable[[tuple[str, ...]], HostKeys]) -> None:
    """Have pyinfra's SSH read its files of known hosts in this way."""
    if not callable(client.get_host_keys):
        raise AttributeError("pyinfra does not read known hosts there any more")
    client.get_host_keys = read
