"""The private parts of dependencies that Portway uses are still there."""

import pytest
from pyinfra.api import Config, Inventory
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State

from portway.ops.private_parts import (
    never_ask_after_failure,
    set_answer_timeout_pg8000,
    set_answer_timeout_pymysql,
)


def test_failure_ends_the_run_without_a_question() -> None:
    state = State(Inventory(([("lb-1", {}), ("lb-2", {})], {})), Config(FAIL_PERCENT=0))
    first, second = state.inventory.get_host("lb-1"), state.inventory.get_host("lb-2")
    for host in (first, second):
        state.activate_host(host)
    state.should_raise_failed_hosts = lambda _: False
    state.fail_hosts({first})  # people said that it should go on
    state.activate_host(first)
    state.failed_hosts.clear()
    never_ask_after_failure(state)
    with pytest.raises(PyinfraError, match="hosts failed"):
        state.fail_hosts({first})


@pytest.mark.parametrize(
    "set_timeout", [set_answer_timeout_pg8000, set_answer_timeout_pymysql]
)
def test_connection_without_the_private_part_is_an_error(set_timeout: object) -> None:
    """Without it a dead server would be waited for without an end."""
    assert callable(set_timeout)
    with pytest.raises(AttributeError):
        set_timeout(object(), 1.0)
