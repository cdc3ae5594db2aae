"""Nodes outside the inventory are asked, and answers come in time or not at all."""

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.host import Host
from pyinfra.context import ctx_state

from portway.errors import PortwayError
from portway.ops import remote
from portway.ops.framing import NodeFact
from portway.ops.remote import ask, node_beside


class Said(NodeFact[str]):
    """What a script says."""

    def command(self, script: str) -> str:
        return script

    def process(self, output: list[str]) -> str:
        return " ".join(output)


@pytest.fixture
def near() -> Host:
    """This machine, as a node of a run."""
    groups = {"prod": (["@local"], {"setting": "kept"})}
    inventory = Inventory((["@local"], {}), **groups)
    state = State(inventory, Config())
    with ctx_state.use(state):
        state.init(inventory, Config())
    return inventory.get_host("@local")


def test_node_beside_the_run_is_asked_with_the_settings_of_its_neighbour(
    near: Host,
) -> None:
    beside = node_beside(
        near, "app-1", {"ssh_hostname": "10.60.0.9"}, [*near.groups, "app_nodes"]
    )
    assert beside.data.setting == "kept"
    assert beside.data.ssh_hostname == "10.60.0.9"
    assert ask(beside, Said, script="echo here") == "here"
    assert beside not in near.inventory


def test_node_that_does_not_answer_is_given_up(
    near: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.3)
    with pytest.raises(PortwayError, match="does not answer within"):
        ask(near, Said, script="sleep 20")
