"""A run's lease on several nodes, each a folder here, their scripts run by a shell."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra import logger
from pyinfra.api.operation import OperationMeta
from pyinfra.api.state import State, StateStage
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import ctx_state

from portway.errors import PortwayError
from portway.model.suspension import SUSPENDED, Suspension
from portway.ops import fence, holding
from portway.ops.holding import Holding
from portway.ops.lease import Lease
from portway.ops.pyinfra_errors import RunStopped
from portway.ops.remote import NotReached

NODES = ("app-1", "lb-1", "lb-2")


class Nodes:
    """Some nodes, of which some may be dead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dead: set[str] = set()
        self.asked: list[str] = []

    def run(self, node: Any, script: str, stdin: str | None = None) -> list[str]:
        self.asked.append(node.name)
        if node.name in self.dead:
            raise NotReached(f"{node.name}: it does not answer")
        own = script.replace("/run/portway", f"{self.folder}/{node.name}/run")
        own = own.replace("/var/lib/portway", f"{self.folder}/{node.name}/lib")
        result = subprocess.run(
            ["sh", "-c", own],
            input=stdin or "",
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout.splitlines()

    def holders(self) -> dict[str, str]:
        """Who has the lease on each node that has one."""
        found = {}
        for path in self.folder.glob("*/run/lease"):
            found[path.parts[-3]] = path.read_text().splitlines()[3].split(" ")[1]
        return found

    def expire(self) -> None:
        """Let all leases end."""
        for path in self.folder.glob("*/run/lease"):
            id_line, _, *rest = path.read_text().splitlines()
            path.write_text("\n".join((id_line, "expires 1", *rest, "")))

    def runs(self, name: str) -> list[str]:
        path = self.folder / name / "lib" / "runs"
        return path.read_text().splitlines() if path.exists() else []

    def record(self, name: str) -> str:
        path = self.folder / name / "lib" / "deployed.json"
        return path.read_text().strip() if path.exists() else ""


@dataclass(frozen=True)
class Node:
    """What is used of pyinfra's hosts."""

    name: str


class Run:
    """A run that one operator started, on some of the nodes."""

    def __init__(
        self, who: str, names: tuple[str, ...] = NODES, limit: tuple[str, ...] = (), *,
        asks: bool = False, patience: float = 0,
    ) -> None:  # fmt: skip
        self.hosts = {name: Node(name) for name in names}
        self.context = State()
        self.judged: list[Mapping[str, str]] = []
        self.state = SimpleNamespace(
            inventory=Inventory(self.hosts.values()),
            check_for_changes=asks,
            is_executing=False,
            current_stage=StateStage.Prepare,
            activated_hosts=[self.hosts[name] for name in limit or names],
            add_callback_handler=lambda _: None,
            ops={host: {} for host in self.hosts.values()},
            op_meta={},
        )
        with ctx_state.use(self.context):
            self.holding = Holding(
                self.state,  # type: ignore[arg-type]
                Lease(who, "deploys/lb.py", 60),
                patience,
                self.judged.append,
                lambda ok, changes: (f"{who} {ok}", f"ran {who} {ok} {changes}"),
            )

    def begin(self, *, deploys: bool = True) -> None:
        self.holding.begin(deploys=deploys)

    def operate(self) -> None:
        self.state.is_executing = True
        self.holding.operation_start(self.state, "hash")  # type: ignore[arg-type]

    def change(self, name: str) -> str:
        """What a script that changes a node becomes."""
        with ctx_state.use(self.context):
            return fence.fenced(name, "true")

    def done(self, name: str, what: str, *commands: str) -> None:
        """An operation that has ended well on a node."""
        meta = OperationMeta(what, None)
        meta.set_complete(True, list(commands), CommandOutput([]))
        data = SimpleNamespace(operation_meta=meta)
        self.state.ops[self.hosts[name]][what] = data
        self.state.op_meta[what] = SimpleNamespace(names={what})

    def end(self, *, succeeded: bool = True) -> None:
        if succeeded:
            self.state.current_stage = StateStage.Disconnect
        for host in self.hosts.values():
            self.holding.host_disconnect(self.state, host)  # type: ignore[arg-type]


class Inventory(list[Any]):
    """What is used of pyinfra's."""

    def get_host(self, name: str) -> Any:
        return next(host for host in self if host.name == name)


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """Three nodes; waiting takes no time."""
    found = Nodes(tmp_path)
    monkeypatch.setattr(holding, "run_without_lease", found.run)
    real = gevent.sleep
    monkeypatch.setattr(gevent, "sleep", lambda _: real(0))
    # Whoever waits for its turn to renew waits for good.
    monkeypatch.setattr(Holding, "_keep_renewing", lambda _: None)
    return found


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said, instead of printing it."""
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", said.append)
    return said


def everywhere(who: str) -> dict[str, str]:
    return dict.fromkeys(NODES, who)


def test_nodes_that_limit_leaves_out_are_locked_too(nodes: Nodes) -> None:
    Run("anna", limit=("lb-1",)).begin()
    assert nodes.holders() == everywhere("anna")


def test_every_run_says_once_who_has_suspended_a_node(
    nodes: Nodes, warnings: list[str]
) -> None:
    suspended = nodes.folder / "lb-2" / "lib" / "agent" / SUSPENDED.name
    suspended.parent.mkdir(parents=True)
    suspended.write_text(Suspension("kernel tests", "anna", 1.8e9).to_json())
    for asks in (False, True):
        run = Run("bob", asks=asks)
        run.begin()
        run.operate()
        run.end()
        (told,) = warnings
        assert told.startswith("lb-2 is suspended by anna since 2027-01-15")
        assert told.endswith(": kernel tests")
        warnings.clear()


def test_all_hosts_begin_and_the_lease_is_taken_once(nodes: Nodes) -> None:
    run = Run("anna")
    for _ in NODES:
        run.begin()
    assert sorted(nodes.asked) == sorted(NODES)


def test_lease_is_taken_after_people_have_confirmed(nodes: Nodes) -> None:
    run = Run("anna", asks=True)
    run.begin()
    assert nodes.holders() == {}
    run.operate()
    assert nodes.holders() == everywhere("anna")


def test_run_that_meets_a_living_one_stops_and_leaves_no_lease(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    first = Run("anna", ("lb-1", "lb-2"))
    first.begin()
    real = nodes.run

    def renewing(node: Any, script: str, stdin: str | None = None) -> list[str]:
        path = nodes.folder / "lb-1" / "run" / "lease"
        ident, expires, *rest = path.read_text().splitlines()
        later = f"expires {int(expires.split()[1]) + 1}"
        path.write_text("\n".join((ident, later, *rest, "")))
        return real(node, script, stdin)

    monkeypatch.setattr(holding, "run_without_lease", renewing)
    second = Run("bob")
    for _ in NODES:  # one refusal for all hosts
        with pytest.raises(PortwayError, match="lb-1: another run is going on: anna"):
            second.begin()
    second.end(succeeded=False)
    assert nodes.holders() == {"lb-1": "anna", "lb-2": "anna"}
    assert "waiting: anna runs deploys/lb.py" in warnings[0]


def test_run_that_died_is_waited_out(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    Run("anna").begin()
    waiting = Run("bob")
    real = gevent.sleep

    def sleep(_: float) -> None:
        nodes.expire()
        real(0)

    monkeypatch.setattr(gevent, "sleep", sleep)
    waiting.begin()
    assert nodes.holders() == everywhere("bob")


def test_dead_node_stops_nobody(nodes: Nodes, warnings: list[str]) -> None:
    nodes.dead = {"app-1"}
    run = Run("anna")
    run.begin()
    assert nodes.holders() == {"lb-1": "anna", "lb-2": "anna"}
    assert warnings == [
        "app-1: it does not answer; this run has no lease there",
    ]
    assert run.change("app-1") == "true"
    assert "may not change lb-1 any more" in run.change("lb-1")


def test_run_without_any_node_is_refused(nodes: Nodes, warnings: list[str]) -> None:
    nodes.dead = set(NODES)
    with pytest.raises(PortwayError, match="no node of this run can be reached"):
        Run("anna").begin()


def test_lost_lease_stops_the_run_before_its_next_operation(nodes: Nodes) -> None:
    slept = Run("anna")
    slept.begin()
    slept.operate()
    nodes.expire()
    Run("bob", ("lb-1",)).begin()
    slept.holding._confirmed -= 30
    with pytest.raises(RunStopped, match="may not change lb-1 any more"):
        slept.operate()


def test_record_is_left_where_the_run_worked(nodes: Nodes) -> None:
    run = Run("anna", limit=("lb-1",))
    run.begin()
    run.operate()
    run.end()
    assert {name: nodes.record(name) for name in NODES} == {
        "app-1": "",
        "lb-1": "anna True",
        "lb-2": "",
    }
    assert nodes.holders() == {}


def test_failed_run_is_recorded_where_it_changed_something(nodes: Nodes) -> None:
    run = Run("anna")
    run.begin()
    run.operate()
    run.change("lb-2")
    run.end(succeeded=False)
    assert [nodes.record(name) for name in NODES] == ["", "", "anna False"]


def test_every_run_leaves_its_report_where_it_worked(nodes: Nodes) -> None:
    run = Run("anna", limit=("lb-1",))
    run.begin(deploys=False)
    run.operate()
    run.end()
    assert nodes.runs("lb-1") == ["ran anna True []"]
    assert nodes.runs("lb-2") == [], "it was locked and left alone"


def test_report_says_what_was_changed_on_the_node(nodes: Nodes) -> None:
    run = Run("anna", limit=("lb-1", "lb-2"))
    run.begin()
    run.operate()
    run.change("lb-1")
    run.done("lb-1", "Write haproxy.cfg", "mv new old")
    run.done("lb-1", "Write keepalived.conf")
    run.end()
    assert nodes.runs("lb-1") == ["ran anna True ['Write haproxy.cfg']"]
    assert nodes.runs("lb-2") == ["ran anna True []"]


def test_next_run_is_judged_by_the_record(nodes: Nodes) -> None:
    first, second = Run("anna"), Run("bob")
    first.begin()
    first.end()
    second.begin()
    assert second.judged == [dict.fromkeys(NODES, "anna True")]


def test_run_that_configures_nothing_is_not_judged_and_not_recorded(
    nodes: Nodes,
) -> None:
    run = Run("anna")
    run.begin(deploys=False)
    run.operate()
    run.change("lb-1")
    run.end()
    assert run.judged == []
    assert nodes.record("lb-1") == ""
