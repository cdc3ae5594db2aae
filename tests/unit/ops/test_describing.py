"""How a node differs, in words."""

from dataclasses import replace

import pytest

from portway.ops.describing import (
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


def test_node_is_settled_where_nothing_is_described_and_only_there() -> None:
    """The words and the decision never disagree."""
    stray = replace(GOOD, in_folders=frozenset({"/own/stray"}))
    nodes = [
        GOOD,
        stray,
        replace(GOOD, packages=frozenset({"a"})),
        replace(GOOD, held=frozenset({"b"})),
        replace(GOOD, sysctls={}),
        replace(GOOD, services={}),
        replace(GOOD, services={"a": replace(GOOD.services["a"], enabled=False)}),
    ]
    for found in nodes:
        described = (
            *package_differences(WANTED, found),
            *stray_differences(WANTED, found),
            *sysctl_differences(WANTED, found),
            *filter(None, [service_difference(SERVICE, WANTED, found)]),
        )
        assert (not described) == is_settled(WANTED, found), described


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
