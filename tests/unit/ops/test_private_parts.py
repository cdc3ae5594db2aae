"""The private parts of dependencies that Portway uses are still there."""

import inspect
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from paramiko.config import SSHConfig
from paramiko.hostkeys import HostKeys
from pyinfra.api import Config, Inventory, arguments, util
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State, StateStage
from pyinfra.connectors.sshuserclient import client

from portway.ops.private_parts import (
    PatternHostKeys,
    before_connecting,
    go_on_after_failure_if,
    host_lines,
    never_ask_after_failure,
    read_host_keys_by,
    set_answer_timeout_pg8000,
    set_answer_timeout_pymysql,
    spare_needless_work,
)
from tests.unit.model.test_host_keys import key


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


def test_run_that_may_goes_on_after_a_failure_and_no_other_does() -> None:
    state = State(Inventory(([("lb-1", {}), ("lb-2", {})], {})), Config(FAIL_PERCENT=0))
    first, second = state.inventory.get_host("lb-1"), state.inventory.get_host("lb-2")
    for host in (first, second):
        state.activate_host(host)
    go_on_after_failure_if(state, lambda _: True)
    state.fail_hosts({first})
    state.activate_host(first)
    go_on_after_failure_if(state, lambda _: False)
    with pytest.raises(PyinfraError, match="hosts failed"):
        state.fail_hosts({first})


def test_nothing_is_done_again_for_each_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If an upgrade makes this fail: look what is slow now."""
    for module, name in (
        (util, "stack"),
        (util, "getframeinfo"),
        (arguments, "all_global_arguments"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # restored afterwards
    state = State(Inventory(([("lb-1", {})], {})), Config())
    state.current_deploy_filename = __file__
    counts, found = [], []
    for spare in (lambda: None, spare_needless_work):
        spare()
        with counted(monkeypatch) as count:
            for _ in range(2):
                order = util.get_operation_order_from_stack(state)
                names = list(arguments.all_global_arguments())
        counts.append(dict(count))
        found.append((len(order), order[1:], names))
    assert found[0] == found[1]
    assert counts[0]["findsource"] > 0
    assert counts[0]["get_type_hints"] == 2
    assert counts[1] == {"get_type_hints": 1}


def _note(count: Counter[str], name: str, do: Callable[..., Any], *given: Any) -> Any:
    count[name] += 1
    return do(*given)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often Python was asked for source, and for types."""
    count = Counter[str]()
    with monkeypatch.context() as patched:
        for module, name in ((inspect, "findsource"), (arguments, "get_type_hints")):
            noted = partial(_note, count, name, getattr(module, name))
            patched.setattr(module, name, noted)
        yield count


def test_work_is_done_before_pyinfra_connects_and_only_then() -> None:
    """tests/integration/run/test_connecting.py has pyinfra's command do it."""
    state, done = State(Inventory(([("lb-1", {})], {})), Config()), []
    before_connecting(state, lambda: done.append(state.current_stage))
    state.set_stage(StateStage.Connect)
    state.set_stage(StateStage.Prepare)
    assert done == [StateStage.Connect]
    assert state.current_stage is StateStage.Prepare


@pytest.mark.parametrize(
    "set_timeout", [set_answer_timeout_pg8000, set_answer_timeout_pymysql]
)
def test_connection_without_the_private_part_is_an_error(set_timeout: object) -> None:
    """Without it a dead server would be waited for without an end."""
    assert callable(set_timeout)
    with pytest.raises(AttributeError):
        set_timeout(object(), 1.0)


def test_patterns_of_host_lines_are_found_beside_a_match() -> None:
    config = SSHConfig.from_text("Match all\n  Port 23\nHost lb-* !lb-3\n  User me\n")
    assert ["lb-*", "!lb-3"] in host_lines(config)
    config = SSHConfig.from_text("Match host i-*,mi-* user a\n  Port 23\nHost x y\n")
    assert host_lines(config)[1:] == [["x", "y"], ["i-*", "mi-*"]]


def test_names_of_known_hosts_may_be_patterns() -> None:
    keys = PatternHostKeys()
    keys.append(("10.60.*", "!10.60.0.9", "[10.9.?.1]:23"), "ssh-ed25519", key(1).data)
    keys.append(("x",), "ssh-ed25519", "AAAA")
    assert [entry.key.get_base64() for entry in vars(keys)["_entries"]] == [key(1).data]
    for name in ("10.60.0.11", "[10.9.8.1]:23"):
        assert list(keys.lookup(name) or ()) == ["ssh-ed25519"], name
    for name in ("10.60.0.9", "10.61.0.11", "[10.9.88.1]:23", "1"):
        assert keys.lookup(name) is None, name


def test_pyinfra_reads_known_hosts_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, ...]] = []

    def read(files: tuple[str, ...]) -> HostKeys:
        asked.append(files)
        return HostKeys()

    monkeypatch.setattr(client, "get_host_keys", client.get_host_keys)
    read_host_keys_by(read)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(OSError, match="Unable to connect"):
        client.SSHClient().connect(
            "127.0.0.1", port=port, _pyinfra_ssh_known_hosts_file="/own"
        )
    assert asked == [("/own",)]
