"""How a node differs, in words."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from portway.ops.describing import (
    differing_files,
    file_difference,
    key,
    package_differences,
    service_difference,
    stray_differences,
    sysctl_differences,
    wishes,
)
from portway.ops.differences import Difference, FoundFile, FoundNode, is_settled
from tests.unit.ops.test_differences import (
    FILE,
    GOOD,
    OTHER,
    OVERRIDE,
    SERVICE,
    WANTED,
)


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (None, "is missing"),
        (FoundFile("0" * 64, "600", "root", "root", 5), "content differs"),
        (FoundFile(FILE.sha256, "644", "root", "root", 5), "mode is 644, not 600"),
        (
            FoundFile("0" * 64, "644", "admin", "root", 5),
            "content differs; mode is 644, not 600; owner is admin:root, not root:root",
        ),
    ],
)
def test_file_says_what_of_it_differs_and_since_when(
    found: FoundFile | None, what: str
) -> None:
    files = {FILE.path: found} if found else {}
    difference = file_difference(FILE, FoundNode(files=files))
    assert (difference.what, difference.since) == (what, 5 if found else None)


def test_secret_file_says_that_it_is_not_shown() -> None:
    found = {FILE.path: FoundFile("0" * 64, "600", "root", "root")}
    secret = replace(FILE, secret=True)
    what = file_difference(secret, FoundNode(files=found)).what
    assert what == "content differs (secret, not shown)"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"active": False, "state": "failed (exit-code)"}, "does not run: failed"),
        ({"enabled": False}, "would not start at boot"),
        ({"masked": True}, "is masked"),
        ({"overrides": (OVERRIDE, OTHER)}, f"is overridden by {OTHER}"),
        ({"needs_daemon_reload": True}, "systemd has not read"),
        ({"loaded_sha256": "old"}, "runs with another configuration than its file"),
        ({"loaded_sha256": None}, "was loaded by hand"),
    ],
)
def test_service_says_what_each_step_mends(
    changes: dict[str, object], what: str
) -> None:
    unit = replace(GOOD.services["a"], **changes)  # type: ignore[arg-type]
    difference = service_difference(SERVICE, WANTED, FoundNode(services={"a": unit}))
    assert difference is not None
    assert difference.what.startswith(what)


def edited(found: FoundNode) -> FoundNode:
    sha256 = {FILE.path: FoundFile("0" * 64, "600", "root", "root")}
    return replace(found, files=sha256)


def unit(**changes: object) -> Callable[[FoundNode], FoundNode]:
    def change(found: FoundNode) -> FoundNode:
        changed = replace(found.services["a"], **changes)  # type: ignore[arg-type]
        return replace(found, services={"a": changed})

    return change


BY_HAND: tuple[Callable[[FoundNode], FoundNode], ...] = (
    edited,
    lambda found: replace(found, files={}),
    lambda found: replace(found, in_folders=frozenset({"/own/stray"})),
    lambda found: replace(found, packages=frozenset({"a"})),
    lambda found: replace(found, held=frozenset({"b"})),
    lambda found: replace(found, sysctls={}),
    unit(enabled=False),
    unit(active=False),
    unit(masked=True),
    unit(overrides=(OVERRIDE, OTHER)),
    unit(loaded_sha256=None),
)


@pytest.mark.parametrize("count", range(len(BY_HAND) + 1))
def test_words_are_found_for_a_node_exactly_if_a_run_would_change_it(
    count: int,
) -> None:
    """Whatever was changed by hand, and together with whatever else."""
    for changes in combinations(BY_HAND, count):
        found = GOOD
        for change in changes:
            found = change(found)
        described = (
            *package_differences(WANTED, found),
            *(file_difference(f, found) for f in differing_files([FILE], found)),
            *stray_differences(WANTED, found),
            *sysctl_differences(WANTED, found),
            *filter(None, [service_difference(SERVICE, WANTED, found)]),
        )
        assert bool(described) == bool(changes) != is_settled(WANTED, found)
        assert all(difference.what for difference in described)


def test_every_difference_has_the_wish_that_a_run_leaves_on_record() -> None:
    """So that the record tells a changed wish from a changed node."""
    empty, record = FoundNode(), wishes(WANTED)
    found: list[Difference | None] = [
        *package_differences(WANTED, empty),
        file_difference(FILE, empty),
        *sysctl_differences(WANTED, empty),
        service_difference(SERVICE, WANTED, empty),
    ]
    assert {key(d.kind, d.thing): d.wish for d in found if d} == record
