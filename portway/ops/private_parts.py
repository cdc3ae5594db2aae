"""The private parts of dependencies that Portway relies on, and nothing else.

Each is here because the library offers no public way. A test for each fails when an
upgrade takes it away.
"""

from typing import Any

from pyinfra.api.state import State


def never_ask_after_failure(state: State) -> None:
    """Make a failure end the run.

    pyinfra's command line asks whether to go on with the next host; it has no option
    against that but ``-y``.
    """
    state.should_raise_failed_hosts = None


def set_answer_timeout_pg8000(connection: Any, seconds: float) -> None:
    """Bound how long a pg8000 connection waits for the server, once it is made."""
    connection._usock.settimeout(seconds)


def set_answer_timeout_pymysql(connection: Any, seconds: float) -> None:
    """Bound how long a PyMySQL connection waits for the server, once it is made."""
    if not hasattr(connection, "_read_timeout"):
        raise AttributeError("PyMySQL connections have no _read_timeout any more")
    connection._read_timeout = seconds
