"""Whether a run from a checkout would go back from what was deployed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.model.deployed import (
    Checkout,
    Deployed,
    lacks_uncommitted,
    why_back,
)

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
HISTORY = {A: {A}, B: {A, B}, C: {A, B, C}, D: {A, D}}
"""Each commit with those that it contains; D branches off after A."""
TIMES = {A: 100, B: 200, C: 300, D: 250}


def contains(older: str, newer: str) -> bool | None:
    if older not in HISTORY or newer not in HISTORY:
        return None
    return older in HISTORY[newer]


def checkout(commit: str, **changes: object) -> Checkout:
    plain = Checkout("0.2.0", commit, TIMES.get(commit, 0))
    return replace(plain, **changes)  # type: ignore[arg-type]


def record(of: Checkout) -> Deployed:
    return Deployed(of, "1", "2", "deploys/site.py", "anna@host", 1_000, True)


@pytest.mark.parametrize(
    ("ours", "found", "expected"),
    [
        (C, C, ""),
        (C, B, ""),
        (B, C, "this checkout is older"),
        (D, C, "this checkout lacks changes that were deployed"),
        (B, D, "this checkout lacks changes that were deployed"),
        (D, A, ""),
    ],
)
def test_known_commits_are_compared_by_history(
    ours: str, found: str, expected: str
) -> None:
    assert why_back(checkout(ours), checkout(found), contains) == expected


@pytest.mark.parametrize(("time", "asks"), [(301, True), (300, False), (299, False)])
def test_unknown_commit_is_compared_by_time(time: int, asks: bool) -> None:
    found = checkout("e" * 40, committed_at=time)
    assert bool(why_back(checkout(C), found, contains)) is asks


@pytest.mark.parametrize(
    ("ours", "found", "asks"),
    [("0.1.0", "0.2.0", True), ("0.2.0", "0.2.0", False), ("0.10.0", "0.9.0", False)],
)
def test_copies_without_git_are_compared_by_version(
    ours: str, found: str, asks: bool
) -> None:
    reason = why_back(Checkout(ours), checkout(A, portway=found), contains)
    assert bool(reason) is asks


@given(st.sampled_from(list(HISTORY)), st.sampled_from(list(HISTORY)))
def test_of_two_different_checkouts_at_least_one_goes_back(one: str, two: str) -> None:
    first, second = checkout(one), checkout(two)
    back = (why_back(first, second, contains), why_back(second, first, contains))
    assert any(back) is (one != two)


@given(
    st.builds(
        Deployed,
        st.builds(Checkout, st.text(), st.sampled_from([A, None])),
        st.text(),
        st.text(),
        st.text(),
        st.text(),
        st.integers(),
        st.booleans(),
    )
)
def test_record_survives_the_node(deployed: Deployed) -> None:
    text = deployed.to_json()
    assert "\n" not in text
    assert Deployed.from_json(text) == deployed
    assert str(deployed)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"checkout": 1}', record(checkout("-p")).to_json()],
)
def test_what_no_run_wrote_is_no_record(text: str) -> None:
    assert Deployed.from_json(text) is None


def test_record_names_commit_user_and_deploy() -> None:
    text = str(record(checkout(B, changed=True)))
    assert text == (
        "commit bbbbbbbbbbbb of 1970-01-01 00:03:20 UTC with uncommitted changes, "
        "deployed on 1970-01-01 00:16:40 UTC by anna@host with deploys/site.py"
    )


@pytest.mark.parametrize(
    ("commit", "ours_changed", "who", "clients", "asks"),
    [
        (C, False, "ben@host", "other", True),
        (C, True, "ben@host", "other", True),
        (C, False, "anna@host", "other", True),
        (C, True, "anna@host", "other", False),
        (C, False, "ben@host", "1", False),
        (B, False, "ben@host", "other", False),
    ],
)
def test_uncommitted_changes_of_others_are_not_taken_back_unnoticed(
    commit: str, ours_changed: bool, who: str, clients: str, asks: bool
) -> None:
    found = record(checkout(C, changed=True))
    ours = replace(
        record(checkout(commit, changed=ours_changed)), who=who, clients_sha256=clients
    )
    assert lacks_uncommitted(ours, found) is asks
    committed = replace(found, checkout=checkout(C))
    assert not lacks_uncommitted(ours, committed)
