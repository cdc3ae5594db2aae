"""What a mover that is gone has added to the priority is taken back."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from portway.node.check.abandoned import GONE, Abandoned


@dataclass
class Node:
    """A node's files, and its clock."""

    status: Path
    standing: Path
    now: float = 1000.0

    def report(self) -> None:
        self.status.write_text("{}")

    def clock(self) -> float:
        return self.now


@pytest.fixture
def node(tmp_path: Path) -> Node:
    found = Node(tmp_path / "status.json", tmp_path / "standing")
    found.standing.write_text("2\n")
    found.report()
    return found


def test_mover_that_reports_keeps_what_it_added(node: Node) -> None:
    abandoned = Abandoned(node.status, node.standing, node.clock)
    for _ in range(20):
        node.now += GONE / 2
        node.status.unlink()
        node.report()
        assert not abandoned.look()
    assert node.standing.read_text() == "2\n"


@pytest.mark.parametrize("left", ["its report", "nothing"])
def test_mover_that_is_gone_loses_it_once(node: Node, left: str) -> None:
    if left == "nothing":
        node.status.unlink()
    abandoned = Abandoned(node.status, node.standing, node.clock)
    abandoned.look()
    node.now += GONE - 1
    assert not abandoned.look()
    node.now += 1
    assert abandoned.look()
    assert node.standing.read_text() == "0\n"
    assert not abandoned.look()


def test_node_that_added_nothing_is_left_alone(node: Node) -> None:
    node.standing.unlink()
    abandoned = Abandoned(node.status, node.standing, node.clock)
    abandoned.look()
    node.now += 2 * GONE
    assert not abandoned.look()
    assert not node.standing.exists()
