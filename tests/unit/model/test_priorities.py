"""The VRRP rules, against every check result that a pair can be in."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portway.model.priorities import CLAIM_WEIGHT, Priorities, violations

ACCEPTED = st.builds(
    lambda backup, above, more, sign: Priorities(
        backup + above, backup, sign * (above + more)
    ),
    st.integers(1, 254),
    st.integers(1, 253),
    st.integers(0, 253),
    st.sampled_from([-1, 1]),
).filter(lambda priorities: not violations(priorities))
"""Everything that the rules accept: a master above its backup, and a weight that is
at least the difference."""


def winner(
    p: Priorities,
    *,
    master_ok: bool,
    backup_ok: bool,
    transferred: bool = False,
    stays: bool = False,
    claims: bool = False,
) -> str:
    """Who is master in the end; on equal priorities whoever is master stays it."""
    master = p.effective(
        p.master,
        healthy=master_ok,
        transferred=transferred,
        standing=CLAIM_WEIGHT if claims else 0,
    )
    backup = p.effective(
        p.backup, healthy=backup_ok, standing=p.stay_weight if stays else 0
    )
    if master == backup:
        return "whoever was"
    return "master" if master > backup else "backup"


@given(st.integers(-5, 260), st.integers(-5, 260), st.integers(-300, 300))
def test_whatever_is_accepted_is_among_what_is_tried(
    master: int, backup: int, weight: int
) -> None:
    if not violations(Priorities(master, backup, weight)):
        assert 1 <= backup < master <= 254
        assert master - backup <= abs(weight) <= 253


@given(ACCEPTED)
def test_accepted_priorities_fail_over_recover_and_keep_order(
    priorities: Priorities,
) -> None:
    assert winner(priorities, master_ok=True, backup_ok=True) == "master"
    assert winner(priorities, master_ok=False, backup_ok=True) == "backup"
    assert winner(priorities, master_ok=True, backup_ok=False) == "master"
    assert winner(priorities, master_ok=False, backup_ok=False) == "master"


@given(ACCEPTED, st.booleans())
def test_transferred_master_comes_back_only_when_the_backup_cannot_serve(
    priorities: Priorities, stays: bool
) -> None:
    def after_transfer(*, master_ok: bool, backup_ok: bool) -> str:
        return winner(
            priorities,
            master_ok=master_ok,
            backup_ok=backup_ok,
            transferred=True,
            stays=stays,
        )

    assert after_transfer(master_ok=True, backup_ok=True) == "backup"
    assert after_transfer(master_ok=False, backup_ok=True) == "backup"
    assert after_transfer(master_ok=True, backup_ok=False) == "master"
    assert after_transfer(master_ok=False, backup_ok=False) == "backup"


@given(ACCEPTED)
def test_backup_keeps_the_address_until_it_fails_or_the_master_takes_it_back(
    p: Priorities,
) -> None:
    assert winner(p, master_ok=True, backup_ok=True, stays=True) == "backup"
    assert winner(p, master_ok=False, backup_ok=True, stays=True) == "backup"
    assert winner(p, master_ok=False, backup_ok=False, stays=True) == "backup"
    assert winner(p, master_ok=True, backup_ok=False, stays=True) == "master"
    back = winner(p, master_ok=True, backup_ok=True, stays=True, claims=True)
    assert back == "master"
    for stays in (True, False):
        falls = winner(p, master_ok=False, backup_ok=True, stays=stays, claims=True)
        assert falls == "backup"


@given(st.integers(1, 254), st.integers(1, 254), st.integers(-253, 253))
def test_refused_priorities_go_wrong_where_nothing_is_clamped(
    master: int, backup: int, weight: int
) -> None:
    priorities = Priorities(master, backup, weight)
    assume(violations(priorities))
    # One below, for a master that handed the address over.
    assume(min(master, backup) - 1 + min(weight, 0) >= 1)
    # And above, for nodes that keep the address or take it back.
    assume(max(master, backup) + max(weight, 0) + CLAIM_WEIGHT <= 254)
    right = (
        winner(priorities, master_ok=True, backup_ok=True) == "master"
        and winner(priorities, master_ok=False, backup_ok=True) == "backup"
        and winner(priorities, master_ok=True, backup_ok=False) == "master"
        and winner(priorities, master_ok=False, backup_ok=False) == "master"
        and winner(
            priorities, master_ok=True, backup_ok=False, transferred=True, stays=True
        )
        == "master"
    )
    assert not right


@pytest.mark.parametrize(
    ("weight", "word"),
    [(-3, "cannot move"), (3, "cannot move"), (-149, "below"), (102, "above")],
)
def test_weights_known_to_fail_are_refused_with_the_bound(
    weight: int, word: str
) -> None:
    (text,) = violations(Priorities(151, 150, weight))
    assert word in text
    assert "use " in text


@pytest.mark.parametrize("weight", [-4, -20, -148, 4, 101])
def test_weights_known_to_work_are_accepted(weight: int) -> None:
    assert violations(Priorities(151, 150, weight)) == ()


def test_equal_priorities_are_refused() -> None:
    assert "master_priority" in violations(Priorities(150, 150, -20))[0]


@pytest.mark.parametrize(("backup", "weight"), [(1, 5), (1, -5)])
def test_backup_priority_without_room_below_is_refused(
    backup: int, weight: int
) -> None:
    (text,) = violations(Priorities(2, backup, weight))
    assert "leaves no room below it for a master that hands the address over" in text
    assert "use 2 or more" in text
