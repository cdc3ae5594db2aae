"""A run that a node makes of itself: it changes that node, and asks no other."""

from collections.abc import Iterator
from typing import Any

import click
import pytest
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_inventory, ctx_state

from portway.load_balancers.asking import ask_if_possible
from portway.model.pulled import ON_ITSELF
from portway.model.stack import Role
from portway.ops.connector import is_own
from portway.ops.pyinfra_errors import RunStopped
from portway.ops.remote import NotReached, node_of_stack, run
from portway.run import inventory, pulled
from tests.unit import samples

STACK = samples.stack()
LB_1, LB_2 = STACK.with_role(Role.LOAD_BALANCER)
APP_1 = STACK.with_role(Role.APPLICATION)[0]


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def read(*_: str, **options: Any) -> Any:
        assert options["wait_seconds"] == pulled.WAIT_SECONDS
        return STACK

    monkeypatch.setattr(inventory, "read_stack", read)
    with ctx_state.use(State()):
        yield


def on(monkeypatch: pytest.MonkeyPatch, instance: str, *deploys: str) -> Any:
    """The groups of a run of these deploys on an instance."""
    monkeypatch.setenv(ON_ITSELF, "yes")
    monkeypatch.setattr(pulled, "own_instance_id", lambda: instance)
    context = click.Context(click.Command("pyinfra"))
    context.params = {"operations": deploys}
    with context:
        groups = inventory.load_balancers, inventory.app_nodes
        return [group("one", "eu-central-1") for group in groups]


def test_only_its_own_node_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    (only,), applications = on(monkeypatch, LB_2.instance_id, "deploys/lb.py")

    name, data = only
    assert name == LB_2.name
    assert applications == []
    assert data["_sudo"] is False
    assert data["_chdir"] == "/"


def test_machine_that_is_no_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunStopped, match="i-other, which this machine is, is none of"):
        on(monkeypatch, "i-other", "deploys/lb.py")


def test_node_that_a_deploy_does_not_change_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RunStopped, match="is a node of role application"):
        on(monkeypatch, APP_1.instance_id, "deploys/lb.py")


@pytest.fixture
def own() -> Iterator[Host]:
    """The host of such a run."""
    nodes = [(LB_1.name, {"ssh_hostname": "192.0.2.1", **pulled.OWN_DATA})]
    groups: dict[str, Any] = {"load_balancers": ([LB_1.name], {})}
    hosts = Inventory((nodes, {}), **groups)  # type: ignore[no-untyped-call]
    state = State(hosts)
    pulled.connect_to_itself(state)
    (host,) = hosts
    with ctx_state.use(state), ctx_inventory.use(hosts), ctx_host.use(host):
        yield host


def test_scripts_run_on_this_machine_with_their_input(own: Host) -> None:
    assert is_own(own)
    assert run(own, "pwd; cat", stdin="what it reads") == ["/", "what it reads"]


def test_what_scripts_print_on_errors_is_told(own: Host) -> None:
    with pytest.raises(Exception, match="lb-1: it is broken"):
        run(own, "echo it is broken >&2; exit 3")


def test_no_other_node_is_taken_for_this_machine(own: Host) -> None:
    with pytest.raises(NotReached, match="app-1: lb-1 deploys to itself"):
        node_of_stack(own, APP_1, "app_nodes")


def test_the_other_load_balancer_is_not_asked(
    own: Host, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask_if_possible(samples.cluster(), LB_2.name) is None
    assert own.name == LB_1.name
    assert caplog.text == ""
