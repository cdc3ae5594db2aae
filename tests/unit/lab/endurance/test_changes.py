"""A hundred changes of nodes and forty of clients that can be made in a row."""

from itertools import pairwise

from lab.endurance.client_changes import STAY, edits
from lab.endurance.node_changes import NEW, ONE, OTHER, STAYS, steps


def test_who_comes_was_out_and_who_goes_was_in() -> None:
    present = {*STAYS, ONE}
    for step in steps(100):
        assert not present & set(step.comes), step.what
        assert present >= set(step.goes), step.what
        present = present - set(step.goes) | set(step.comes)
        assert present >= set(STAYS)
        assert step.launches == (NEW in step.comes)
        assert step.dies == (NEW in step.goes)


def test_hundred_changes_add_remove_and_replace() -> None:
    made = steps(100)
    assert len(made) == 100
    assert sum(bool(s.comes and s.goes) for s in made) == 20
    assert sum(bool(s.comes and not s.goes) for s in made) == 40
    assert {OTHER, ONE, NEW} == {name for s in made for name in s.comes}


def test_each_edit_changes_the_clients_and_leaves_those_that_have_streams() -> None:
    made = edits(40)
    assert len(made) == 40
    for before, after in pairwise(made):
        assert before.clients != after.clients
        assert after.clients[: len(STAY)] == STAY
    assert made[0].clients != STAY
    assert {edit.deploy for edit in made} == {"lb", "site"}
