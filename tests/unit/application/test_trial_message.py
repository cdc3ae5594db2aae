"""The test message: where it goes, and what becomes of a node that fails it.

The scripts for the node run in a folder, with a stand-in for systemctl.
"""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from pyinfra.api.host import Host

from portway.application import rolling
from portway.application.pending import FoundApplication, Pending, pending
from portway.application.trial_message import trial_command, untried
from portway.errors import PortwayError
from portway.model.listeners import Listener
from portway.ops.differences import FoundNode
from portway.render.application import Application
from tests.unit.application.test_pending import cluster_of, put, wanted

SEND = "bin/send --port {port}"
RECORD = "/run/portway/loaded/message-app"
PLAIN, HTTP = Listener("a", 9003, "tcp", False), Listener("b", 9001, "http", False)
PROXY = Listener("c", 9002, "tcp", True)


def test_message_goes_to_the_first_port_that_takes_a_plain_one() -> None:
    ports = (HTTP, PROXY, PLAIN, replace(PLAIN, port=9004))
    assert trial_command(SEND, ports, "/f") == "/f/current/bin/send --port 9003"


def test_message_that_no_port_takes_is_not_sent_and_told() -> None:
    nodes = {"app-1": (PLAIN, PROXY), "app-2": (HTTP, PROXY)}
    assert trial_command(SEND, nodes["app-2"], "/f") is None
    (said,) = untried(SEND, nodes)
    assert said.startswith("app_test_command is not run on app-2: no client there")
    assert list(untried(None, nodes)) == []


def test_command_that_needs_no_port_runs_whatever_the_ports_are() -> None:
    assert trial_command("bin/send", (PROXY,), "/f") == "/f/current/bin/send"
    assert list(untried("bin/send", {"app-1": (PROXY,)})) == []


class Node:
    """An application node in a folder, and what load balancers were told of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.refusal: PortwayError | None = None
        """What a drain fails with."""
        put(folder, RECORD, "old\n")
        put(folder, "/failing", "")
        put(folder, "/systemctl", "")
        monkeypatch.setattr(rolling, "run", self._run)
        monkeypatch.setattr(rolling, "health", lambda *_: ())

    def answers(self, *, good: bool) -> None:
        """Have the application acknowledge messages, or not."""
        program = self.folder / "opt/message-app/current/bin/send"
        put(self.folder, "/opt/message-app/current/bin/send", "")
        program.write_text("#!/bin/sh\n" + ("" if good else "echo AE >&2; exit 1\n"))
        program.chmod(0o755)

    def fails(self, verb: str) -> None:
        """Have systemctl fail for a verb."""
        put(self.folder, "/failing", verb)

    @property
    def record(self) -> str:
        """What is on record as loaded."""
        return (self.folder / RECORD[1:]).read_text()

    @property
    def is_stopped(self) -> bool:
        return "disable --now message-app" in (self.folder / "systemctl").read_text()

    def _run(self, host: object, script: str, stdin: str | None = None) -> list[str]:
        systemctl = (
            f'systemctl() {{ echo "$*" >>{self.folder}/systemctl; '
            f'[ "$1" != "$(cat {self.folder}/failing)" ]; }}\njournalctl() {{ :; }}\n'
        )
        for path in ("/etc/", "/run/", "/opt/"):
            script = script.replace(path, f"{self.folder}{path}")
        done = subprocess.run(
            ["sh", "-c", systemctl + script],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=os.environ,
        )
        if done.returncode:
            raise PortwayError(f"app-1: {done.stdout.strip()}")
        return done.stdout.splitlines()

    def drain(self) -> None:
        """As a node that is taken out of service, or refused that."""
        if self.refusal:
            raise self.refusal
        self.told.append("drained")

    def begin(self) -> None:
        """Nothing is told of it."""

    def note_failure(self) -> None:
        """Nor of this."""

    def put_back(self) -> None:
        """As a node that comes back."""
        self.told.append("put back")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def change(node: Node, **todo: bool) -> tuple[str, Application]:
    """What a change of the node fails with, if it does."""
    settings: dict[str, Any] = {"app_test_command": SEND}
    settings |= {"app_reload_command": "kill -HUP $MAINPID"}
    cluster, application = cluster_of(**settings), wanted(**settings)
    all_ = pending(application, FoundNode(), FoundApplication(), 3, drained=False)
    nothing: dict[str, Any] = dict.fromkeys(
        ("fetch", "switch", "restart", "reload", "put_back", "leftovers"), False
    )
    changes: Pending = replace(all_, files=(), remove=(), **nothing | todo)
    try:
        rolling.change_node(cast(Host, None), cluster, application, changes, node)
    except PortwayError as error:
        return error.message, application
    return "", application


def test_reload_is_recorded_when_a_message_was_taken(node: Node) -> None:
    node.answers(good=True)
    said, application = change(node, reload=True)
    assert (said, node.told) == ("", [])
    assert node.record == application.record


def test_node_that_takes_no_message_after_a_reload_is_stopped(node: Node) -> None:
    node.answers(good=False)
    said, _ = change(node, reload=True)
    assert "app-1: deploy failed: its test message failed: app-1: AE" in said
    assert node.told == ["drained"]
    assert node.is_stopped
    assert node.record == "old\n"


def test_failed_message_is_told_and_tried_again_if_the_node_cannot_be_drained(
    node: Node,
) -> None:
    node.answers(good=False)
    node.refusal = PortwayError("app-1 is the only one that serves", do="bring it back")
    said, _ = change(node, reload=True)
    assert "its test message failed: app-1: AE" in said
    assert "it still gets clients: app-1 is the only one that serves" in said
    assert not node.is_stopped
    assert node.record == "old\n", "the next run would find nothing to do"


def test_node_whose_change_failed_goes_back_if_it_takes_a_message(node: Node) -> None:
    node.answers(good=True)
    node.fails("restart")
    assert "deploy failed" in change(node, restart=True)[0]
    assert node.told == ["drained", "put back"]
    assert not node.is_stopped


def test_node_whose_process_was_not_touched_goes_back_without_a_message(
    node: Node,
) -> None:
    """What it runs served until now; the command may be one of the new release."""
    node.answers(good=False)
    assert (
        "deploy failed" in change(node, restart=True, fetch=True)[0]
    )  # has no installer
    assert node.told == ["drained", "put back"]
    assert not node.is_stopped


@pytest.mark.parametrize("good", [True, False])
def test_previous_configuration_goes_with_the_process_that_it_was_kept_for(
    node: Node, good: bool
) -> None:
    """It may have the former database login."""
    kept = "/etc/message-app/.message-app.conf.portway-previous"
    for todo in ("restart", "reload"):
        put(node.folder, kept, "old")
        node.answers(good=good)
        change(node, **{todo: True})
        assert not (node.folder / kept[1:]).exists(), todo


def test_node_whose_change_failed_stays_out_if_it_takes_no_message(node: Node) -> None:
    """It is healthy: it became so a moment too late, with what does not work."""
    node.answers(good=False)
    node.fails("restart")
    said = change(node, restart=True)[0]
    first, second, *_ = said.splitlines()
    assert "its test message failed: app-1: AE" in first
    assert "Before that: app-1:" in second
    assert node.told == ["drained"]
    assert node.is_stopped
