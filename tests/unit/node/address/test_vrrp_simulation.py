"""Whatever fails and recovers, the address ends on the right node."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portway.model.priorities import Priorities, violations
from portway.node.address.keepalived import State
from tests.unit.node.address.vrrp_simulation import INTERFACES, Pair

SETTLED = 20.0
"""Seconds after which nothing changes any more, if nothing was lost on the way."""
MENDED = 250.0
"""Seconds after which nothing changes any more, whatever was."""
USUAL = Priorities(151, 150, -20)

NODE = st.integers(0, 1)
EVENTS = st.lists(
    st.tuples(
        st.floats(0, 8),
        st.one_of(
            st.tuples(st.just("check"), NODE, st.booleans()),
            st.tuples(st.just("transfer"), st.just(0), st.booleans()),
            st.tuples(st.just("mover"), NODE, st.booleans()),
            st.tuples(st.just("hears"), NODE, st.booleans()),
            st.tuples(st.just("permitted"), NODE, st.booleans()),
            st.tuples(st.just("prompt"), NODE, st.booleans()),
        ),
    ),
    max_size=12,
)


def happen(pair: Pair, what: str, node: int, value: bool) -> None:
    if what == "check":
        pair.nodes[node].healthy = value
    elif what == "transfer":
        pair.nodes[node].transferred = value
    elif what == "mover":
        (pair.start_mover if value else pair.kill_mover)(node)
    elif what == "hears":
        pair.nodes[node].deaf = not value
    elif what == "permitted":
        change = pair.aws.refuses.discard if value else pair.aws.refuses.add
        change(INTERFACES[node])
    else:
        pair.aws.delay = 0.0 if value else 4.0


def mend(pair: Pair) -> None:
    """All is well but for checks and a transfer."""
    for node in (0, 1):
        for what in ("mover", "hears", "permitted", "prompt"):
            happen(pair, what, node, True)


def right_node(pair: Pair) -> int:
    """Where the address belongs: a healthy node, the master if it may choose."""
    master, backup = pair.nodes
    if master.healthy != backup.healthy:
        return 0 if master.healthy else 1
    return 1 if master.transferred else 0


@hypothesis_settings(max_examples=150)
@given(
    st.integers(1, 254),
    st.integers(1, 254),
    st.integers(-253, 253),
    EVENTS,
    st.sampled_from([0.0, 10.0]),
)
def test_address_ends_on_the_right_node(
    master: int,
    backup: int,
    weight: int,
    events: list[tuple[float, tuple[str, int, bool]]],
    fail_back: float,
) -> None:
    priorities = Priorities(master, backup, weight)
    assume(not violations(priorities))
    pair = Pair(priorities, fail_back)
    for pause, event in events:
        pair.run(pause)
        happen(pair, *event)
    mend(pair)
    pair.run(MENDED)
    assert len(pair.masters) == 1
    assert [pair.holder] == pair.masters
    if not fail_back or any(node.healthy for node in pair.nodes):
        assert pair.holder == right_node(pair)
    for node in pair.nodes:
        node.healthy, node.transferred = True, False
    pair.run(SETTLED)
    assert pair.masters == [0]
    assert pair.holder == 0
    before = len(pair.aws.moves)
    pair.run(300)
    assert len(pair.aws.moves) == before


@pytest.mark.parametrize("weight", [-1, 1])
def test_simulation_finds_a_weight_that_never_fails_over(weight: int) -> None:
    pair = Pair(replace(USUAL, weight=weight))
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.run(SETTLED)
    assert pair.holder == 0


@pytest.mark.parametrize(("weight", "holder"), [(-3, 1), (3, 1), (-4, 0), (4, 0)])
def test_simulation_finds_a_weight_that_keeps_the_address_at_a_failing_backup(
    weight: int, holder: int
) -> None:
    pair = Pair(replace(USUAL, weight=weight), fail_back=10.0)
    pair.run(SETTLED)
    pair.nodes[0].transferred = True
    pair.run(SETTLED)
    assert pair.holder == 1
    pair.nodes[1].healthy = False
    pair.run(SETTLED)
    assert pair.holder == holder
    assert (violations(replace(USUAL, weight=weight)) == ()) == (holder == 0)


def test_simulation_finds_a_weight_that_never_recovers() -> None:
    pair = Pair(replace(USUAL, weight=120))  # both are clamped to one priority
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.run(SETTLED)
    pair.nodes[0].healthy = True
    pair.run(SETTLED)
    assert pair.masters != [0]


def test_hour_of_checks_moves_nothing() -> None:
    pair = Pair(USUAL)
    pair.run(SETTLED)
    before = len(pair.aws.moves)
    pair.run(3600)
    assert len(pair.aws.moves) == before == 1


def test_two_masters_do_not_fight() -> None:
    pair = Pair(USUAL)
    pair.run(SETTLED)
    pair.connect(False)
    pair.run(60)
    assert pair.masters == [0, 1]
    # The backup took it when it became master, the master took it back, once each.
    went = [interface for _, interface in pair.aws.moves]
    assert went == [INTERFACES[0], INTERFACES[1], INTERFACES[0]]
    pair.run(3600)
    assert pair.holder == 0
    assert len(pair.aws.moves) <= 13, "probes, ever more seldom"


@pytest.mark.parametrize("what", ["check", "transfer"])
def test_deaf_master_that_does_not_prevail_does_not_fight(what: str) -> None:
    pair = Pair(USUAL)
    pair.run(SETTLED)
    happen(pair, "hears", 0, False)
    happen(pair, what, 0, what == "transfer")
    pair.run(60)
    assert pair.masters == [0, 1]
    assert pair.holder == 1
    before = len(pair.aws.moves)
    pair.run(3600)
    assert pair.holder == 1
    assert len(pair.aws.moves) - before <= 13


def test_two_masters_that_both_insist_would_fight() -> None:
    pair = Pair(USUAL)
    mover = pair.nodes[1].mover
    mover.config = replace(mover.config, reclaim_priority=150)
    pair.connect(False)
    pair.run(60)
    assert len(pair.aws.moves) > 10


def test_claim_that_aws_carries_out_when_its_node_is_dead_is_undone() -> None:
    pair = Pair(USUAL)
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.run(SETTLED)
    pair.kill_mover(0)
    pair.nodes[0].state = State.STOP
    pair.aws.holder = INTERFACES[0]
    pair.run(80)
    assert pair.holder == 1


@pytest.mark.parametrize(("last_advert", "seconds"), [(True, 2), (False, 25)])
def test_address_left_behind_by_a_partition_follows(
    last_advert: bool, seconds: float
) -> None:
    """At once if the node that yields says so, else when it notices by itself."""
    pair = Pair(USUAL)
    pair.last_advert = last_advert
    pair.run(SETTLED)
    pair.connect(False)
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.nodes[0].advert_at = pair.time.now + 0.9  # the other one's comes first
    pair.nodes[1].advert_at = pair.time.now
    pair.connect(True)
    pair.run(seconds)
    assert pair.masters == [1]
    assert pair.holder == 1


def test_claim_that_aws_carries_out_late_is_undone() -> None:
    pair = Pair(USUAL)
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.run(SETTLED)
    pair.aws.holder = INTERFACES[0]  # what node 0 had asked for when it was master
    pair.run(70)  # a backup looks once a minute
    assert pair.holder == 1


@pytest.mark.parametrize(("fail_back", "moves"), [(0.0, 2), (60.0, 1)])
def test_master_that_stalls_moves_the_address_back_only_at_the_time_set(
    fail_back: float, moves: int
) -> None:
    pair = Pair(USUAL, fail_back)
    pair.run(SETTLED)
    before = len(pair.aws.moves)
    pair.nodes[0].stalled = True
    pair.run(6)
    pair.nodes[0].stalled = False
    pair.run(50)
    assert len(pair.aws.moves) - before == moves
    pair.run(30)
    assert pair.holder == 0
    assert len(pair.aws.moves) - before == 2
    assert [node.mover.memory.standing for node in pair.nodes] == [0, 0]


def test_backup_that_fails_while_the_master_waits_gives_the_address_back() -> None:
    pair = Pair(USUAL, 60.0)
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.run(SETTLED)
    assert pair.holder == 1
    pair.nodes[0].healthy = True
    pair.run(SETTLED)
    assert pair.holder == 1, "the master waits"
    pair.nodes[1].healthy = False
    pair.run(5)
    assert pair.holder == 0


def test_dead_mover_of_the_backup_does_not_make_the_address_flap() -> None:
    pair = Pair(USUAL, 60.0)
    pair.run(SETTLED)
    pair.nodes[0].healthy = False
    pair.run(SETTLED)
    assert pair.holder == 1
    pair.kill_mover(1)
    pair.nodes[0].healthy = True
    before = len(pair.aws.moves)
    pair.run(900)
    assert pair.masters == [0]
    assert pair.holder == 0
    assert len(pair.aws.moves) - before <= 2


def test_master_that_was_cut_off_does_not_take_the_address_before_it_yields() -> None:
    pair = Pair(USUAL, 60.0)
    pair.run(SETTLED)
    before = len(pair.aws.moves)
    pair.connect(False)
    pair.aws.refuses.add(INTERFACES[0])
    pair.run(SETTLED)
    assert pair.masters == [0, 1]
    assert pair.holder == 1
    pair.aws.refuses.clear()
    pair.nodes[0].mover.due = pair.time.now  # it looks before it hears anything
    pair.run(0.5)
    pair.connect(True)
    pair.run(50)
    assert pair.masters == [1]
    assert len(pair.aws.moves) - before == 1
    pair.run(30)
    assert pair.holder == 0
    assert len(pair.aws.moves) - before == 2


def test_planned_transfer_holds_until_it_is_revoked() -> None:
    pair = Pair(USUAL)
    pair.run(SETTLED)
    pair.nodes[0].transferred = True
    pair.run(SETTLED)
    assert pair.holder == 1
    pair.nodes[1].healthy = False
    pair.run(SETTLED)
    assert pair.holder == 0, "better a node that gave it away than none"
    pair.nodes[1].healthy = True
    pair.run(SETTLED)
    assert pair.holder == 1
