"""A run that connects: to nodes that boot, and to none whose key is not known."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.database.ssh_server import RunningNode, running_node

PROJECT = Path(__file__).parents[3]
WAITING = "waiting for its SSH server"
SAID = "Starting operation"
INVENTORY = """
import os
from dataclasses import replace as _replace
from datetime import datetime as _datetime
from portway.run import inventory as _inventory
from tests.unit import samples as _samples

_started = _datetime.fromisoformat(os.environ["TEST_STARTED"])
_stack = _samples.stack()
_place = {"address": os.environ["TEST_ADDRESS"], "started_at": _started}
_stack = _replace(_stack, nodes=(_replace(_stack.nodes[0], **_place),))
_inventory.read_stack = lambda *a, **k: _stack
load_balancers = [
    (name, data | {"ssh_port": int(os.environ["TEST_SSH_PORT"]), "ssh_user": "admin"})
    for name, data in _inventory.load_balancers(_stack.name, _stack.region)
]
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    with running_node(tmp_path / "home", 1) as running:
        yield running


def connect(
    node: RunningNode,
    *data: str,
    started: timedelta = timedelta(days=1),
    address: str = "127.0.0.1",
    port: int | None = None,
    command: tuple[str, ...] = ("fact", "server.Hostname"),
    code: str = "",
    moment: str = WAITING,
    when_waiting: Callable[[], object] = lambda: None,
) -> tuple[int, str]:
    """Status and output of a run that only connects."""
    inventory = node.folder / "inventory.py"
    inventory.write_text(INVENTORY + code)
    lines = []
    with subprocess.Popen(
        (
            str(Path(sys.executable).with_name("pyinfra")),
            *(str(inventory), "-y", "--data", "ssh_strict_host_key_checking=yes"),
            *(word for given in data for word in ("--data", given)),
            *command,
        ),
        cwd=PROJECT,
        env=os.environ
        | {
            "HOME": str(node.folder),
            "PYTHONPATH": str(PROJECT),
            "TEST_ADDRESS": address,
            "TEST_SSH_PORT": str(port or node.port),
            "TEST_STARTED": (datetime.now(UTC) - started).isoformat(),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if moment in line and lines.count(line) == 1:
                when_waiting()
    return process.returncode, "".join(lines)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def know(node: RunningNode, port: int) -> None:
    """Have the node's key known at another port too."""
    known = node.folder / ".ssh" / "known_hosts"
    text = known.read_text()
    known.write_text(text + text.replace(f":{node.port} ", f":{port} "))


def test_ssh_server_of_a_young_instance_is_waited_for(node: RunningNode) -> None:
    port = closed_port()
    know(node, port)
    with ExitStack() as opened:

        def open_port() -> None:
            words = ["socat", f"TCP-LISTEN:{port},fork,reuseaddr,bind=127.0.0.1"]
            relay = subprocess.Popen([*words, f"TCP:127.0.0.1:{node.port}"])
            opened.callback(relay.wait)
            opened.callback(relay.terminate)

        started = timedelta(seconds=30)
        status, text = connect(node, started=started, port=port, when_waiting=open_port)
    assert status == 0, text
    assert text.count(f"{WAITING}: EC2 started it") == 1


def test_instance_that_started_long_ago_is_not_waited_for(node: RunningNode) -> None:
    port = closed_port()
    know(node, port)
    began = time.monotonic()
    status, text = connect(node, started=timedelta(hours=1), port=port)
    assert status != 0
    assert "Could not connect" in text
    assert WAITING not in text
    assert time.monotonic() - began < 30


def test_node_that_falls_silent_is_given_up_and_named(node: RunningNode) -> None:
    """A relay that is stopped loses what is sent to it, as a frozen host does."""
    port = closed_port()
    know(node, port)
    words = ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1"]
    with subprocess.Popen([*words, f"TCP:127.0.0.1:{node.port}"]) as relay:
        try:
            status, text = connect(
                node,
                port=port,
                command=("exec", "--", "echo begun; sleep 300"),
                code="from portway.ops import connector as _c\n"
                "_c.ASK_SECONDS, _c.SILENT_SECONDS = 1, 3\n",
                moment=SAID,
                when_waiting=lambda: relay.send_signal(signal.SIGSTOP),
            )
        finally:
            relay.kill()
    assert status != 0, text
    assert "[lb-1] does not answer any more: nothing came for 3 s" in text


def test_wrong_key_is_not_waited_for(node: RunningNode, tmp_path: Path) -> None:
    with running_node(tmp_path / "other", 1) as other:
        know(node, other.port)
        status, text = connect(node, started=timedelta(0), port=other.port)
    assert status != 0
    assert "does not match" in text
    assert WAITING not in text
