"""Nodes that answer nothing are told from those that let nobody in."""

from types import SimpleNamespace
from typing import Any

import pytest
from paramiko.ssh_exception import (
    AuthenticationException,
    NoValidConnectionsError,
    SSHException,
)
from pyinfra.api.exceptions import ConnectError

from portway.ops.connector import STOPPED, NodeConnector, _is_silence


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (TimeoutError("timed out"), True),
        (NoValidConnectionsError({("10.0.0.1", 22): OSError("refused")}), True),
        (EOFError(), True),
        (SSHException("Error reading SSH protocol banner"), True),
        (SSHException("Key-exchange timed out waiting for key negotiation"), True),
        (AuthenticationException("Authentication timeout."), True),
        (AuthenticationException("Authentication failed."), False),
        (SSHException("Host key for server does not match"), False),
    ],
)
def test_only_who_answers_nothing_is_silent(cause: Any, expected: bool) -> None:
    error = ConnectError("could not connect")
    error.__cause__ = cause
    assert _is_silence(error) is expected


def test_stopped_instance_is_not_connected_to() -> None:
    connector = NodeConnector.__new__(NodeConnector)
    vars(connector)["host"] = SimpleNamespace(data={STOPPED: "yes"})
    with pytest.raises(ConnectError, match="is stopped"):
        connector.connect()
    assert connector.is_silent


def test_node_that_a_run_does_without_is_not_connected_to() -> None:
    connector = NodeConnector.__new__(NodeConnector)
    vars(connector)["host"] = SimpleNamespace(data={})
    connector.unwanted = "No SSH host key is known for it"
    with pytest.raises(ConnectError, match="No SSH host key"):
        connector.connect()
    assert connector.is_silent
