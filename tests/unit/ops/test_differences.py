"""Differences between what a node is and what it should be."""

from dataclasses import replace

import pytest

from portway.ops.differences import (
    FoundFile,
    FoundNode,
    FoundService,
    differs_only_in,
    file_differs,
    is_settled,
    missing_packages,
    service_steps,
    strangers,
    sysctls_differ,
    with_file,
    with_loaded,
)
from portway.render.files import ManagedFile, Service, WantedNode

FILE = ManagedFile("/etc/a.conf", "content\n")
OVERRIDE = "/etc/systemd/system/a.service.d/portway.conf"
OTHER = "/etc/systemd/system/a.service.d/by-hand.conf"
SERVICE = Service("a", "/etc/a.conf", OVERRIDE, "echo 1", replaced_by_reload=True)
WANTED = WantedNode(("a", "b"), (FILE,), {"net.x": "1"}, (SERVICE,))
GOOD = FoundNode(
    packages=frozenset({"a", "b"}),
    files={"/etc/a.conf": FoundFile(FILE.sha256, "600", "root", "root")},
    sysctls={"net.x": "1"},
    services={"a": FoundService(True, True, False, (OVERRIDE,), FILE.sha256)},
)


def test_node_as_it_should_be_has_no_differences() -> None:
    assert missing_packages(WANTED, GOOD) == ()
    assert not file_differs(FILE, GOOD)
    assert not sysctls_differ(WANTED, GOOD)
    assert service_steps(SERVICE, FILE, GOOD) == ()


def test_empty_node_differs_in_everything() -> None:
    empty = FoundNode()
    assert missing_packages(WANTED, empty) == ("a", "b")
    assert file_differs(FILE, empty)
    assert sysctls_differ(WANTED, empty)
    assert service_steps(SERVICE, FILE, empty) == ("daemon-reload", "enable", "start")


@pytest.mark.parametrize(
    "found",
    [
        FoundFile("0" * 64, "600", "root", "root"),
        FoundFile(FILE.sha256, "644", "root", "root"),
        FoundFile(FILE.sha256, "600", "admin", "root"),
        FoundFile(FILE.sha256, "600", "root", "admin"),
    ],
)
def test_content_mode_owner_and_group_each_count(found: FoundFile) -> None:
    assert file_differs(FILE, FoundNode(files={"/etc/a.conf": found}))


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (FoundService(True, True, False, (OVERRIDE,), "old"), ("reload",)),
        (FoundService(True, True, False, (OVERRIDE,), None), ("reload",)),
        (FoundService(False, True, False, (OVERRIDE,), FILE.sha256), ("start",)),
        (FoundService(True, False, False, (OVERRIDE,), FILE.sha256), ("enable",)),
        (FoundService(True, True, True, (OVERRIDE,), FILE.sha256), ("daemon-reload",)),
        (FoundService(True, True, False, (), FILE.sha256), ("daemon-reload",)),
        (
            FoundService(True, True, False, (OVERRIDE, OTHER), FILE.sha256),
            ("own",),
        ),
        (
            FoundService(False, False, False, (OVERRIDE,), FILE.sha256, masked=True),
            ("unmask", "enable", "start"),
        ),
        (
            FoundService(False, False, True, (OVERRIDE,), None),
            ("daemon-reload", "enable", "start"),
        ),
    ],
)
def test_reload_is_decided_by_what_is_running(
    service: FoundService, expected: tuple[str, ...]
) -> None:
    assert service_steps(SERVICE, FILE, FoundNode(services={"a": service})) == expected


@pytest.mark.parametrize(
    ("path", "is_strange"),
    [
        (OTHER, True),
        ("/etc/systemd/system/a.service", True),
        ("/etc/systemd/system.control/a.service.d/50-CPUWeight.conf", True),
        (OVERRIDE, False),
        ("/usr/lib/systemd/system/a.service", False),
        ("/etc/systemd/system/service.d/site.conf", False),
        ("/run/systemd/system/a.service.d/until-boot.conf", False),
    ],
)
def test_only_what_changes_this_unit_for_good_is_strange(
    path: str, is_strange: bool
) -> None:
    unit = replace(GOOD.services["a"], overrides=(OVERRIDE, path))
    assert strangers(SERVICE, unit) == ((path,) if is_strange else ())


def test_held_package_is_not_settled() -> None:
    assert is_settled(WANTED, GOOD)
    assert not is_settled(WANTED, replace(GOOD, held=frozenset({"a"})))


STALE = replace(
    GOOD,
    files={"/etc/a.conf": FoundFile("0" * 64, "600", "root", "root")},
    services={"a": replace(GOOD.services["a"], loaded_sha256="0" * 64)},
)


def test_what_was_written_and_loaded_is_known_without_another_look() -> None:
    written = with_file(FILE, STALE)
    assert not file_differs(FILE, written)
    assert service_steps(SERVICE, FILE, written) == ("reload",)
    assert with_loaded(SERVICE, FILE, written) == GOOD


def test_only_the_configuration_of_a_unit_that_runs_differs() -> None:
    assert differs_only_in([SERVICE], WANTED, STALE)
    assert not differs_only_in([], WANTED, STALE)
    stopped = replace(STALE.services["a"], active=False)
    for worse in (
        replace(STALE, packages=frozenset()),
        replace(STALE, sysctls={}),
        replace(STALE, services={}),
        replace(STALE, services={"a": stopped}),
    ):
        assert not differs_only_in([SERVICE], WANTED, worse)
