"""What ``deploys/agent.py`` does to a node, and in which order."""

from functools import partial
from typing import Any

import pytest

from portway.model.pulled import SIGNERS
from portway.model.stack import Role
from portway.ops import agent
from portway.ops.differences import FoundFile, FoundNode
from tests.unit import samples

OPERATIONS = ("install_packages", "write_files", "bring_first_release", "run_timer")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The operations of a run, which change nothing here, and what they were given."""
    found: list[tuple[str, dict[str, Any]]] = []

    def note(operation: str, /, **given: object) -> None:
        found.append((operation, given))

    for name in OPERATIONS:
        monkeypatch.setattr(agent, name, partial(note, name))
    return found


def install(
    monkeypatch: pytest.MonkeyPatch, *, on_itself: bool, there: tuple[str, ...] = ()
) -> None:
    """Install it on a load balancer that has some files already."""
    files = FoundNode(files=dict.fromkeys(there, FoundFile("", "644", "root", "root")))
    monkeypatch.setattr(agent, "is_own", lambda _: on_itself)
    monkeypatch.setattr(agent, "read_node", lambda _: files)
    agent.install_agent(samples.cluster(), Role.LOAD_BALANCER, "inventories/prod.py")


def test_node_knows_who_signs_before_it_fetches_a_release(
    monkeypatch: pytest.MonkeyPatch, done: list[tuple[str, dict[str, Any]]]
) -> None:
    install(monkeypatch, on_itself=False, there=(str(SIGNERS),))
    names = [name for name, _ in done]
    assert names.index("write_files") < names.index("bring_first_release")
    written = next(given["files"] for name, given in done if name == "write_files")
    assert str(SIGNERS) in {file.path for file in written}


@pytest.mark.parametrize(
    ("there", "is_written"), [((str(SIGNERS),), False), ((), True)]
)
def test_run_of_the_node_s_own_changes_nobody_who_signs(
    monkeypatch: pytest.MonkeyPatch,
    done: list[tuple[str, dict[str, Any]]],
    there: tuple[str, ...],
    is_written: bool,
) -> None:
    """A release must not say who may sign the next one."""
    install(monkeypatch, on_itself=True, there=there)
    written = next(given["files"] for name, given in done if name == "write_files")
    assert (str(SIGNERS) in {file.path for file in written}) == is_written
