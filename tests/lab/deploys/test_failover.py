"""Scenarios of fail-over, and that they fail when what they guard is broken."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.system import PROJECT, System, output

SCENARIOS = (
    "haproxy-stopped",
    "host-frozen",
    "split-brain",
)
"""Stalls are tried on Debian 12, and the rest is for ``make failover``: all take too
long for every run of the tests."""


def failover(
    system: System, *scenarios: str, project: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    words = ("-m", "lab", "failover", "--name", system.name, "--only", *scenarios)
    return subprocess.run(
        (sys.executable, *words),
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )


@pytest.mark.alone
def test_no_acknowledged_message_is_lost_and_the_address_comes_back(
    settled: System,
) -> None:
    result = failover(settled, *SCENARIOS)
    assert result.returncode == 0, output(result)
    assert output(result).count("PASS") == len(SCENARIOS)


def edit(file: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of one place of a copy of the project."""

    def make(project: Path) -> None:
        path = project / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has no one place {old!r}"
        path.write_text(text.replace(old, new))

    return make


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    ignored = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(PROJECT, project, ignore=ignored)
    return project


@pytest.fixture
def broken(settled: System) -> Iterator[System]:
    """The lab, which is deployed as it should be when the test is over."""
    yield settled
    settled.deploy()


@pytest.mark.parametrize(
    ("edits", "scenario", "reason"),
    [
        (
            (
                edit(
                    "portway/node/check/judge.py",
                    "return self._decide(good=False, reason=found.reason)",
                    "return self._decide(good=True, reason=found.reason)",
                ),
            ),
            "haproxy-stopped",
            "the address points to lb-2",
        ),
        (
            (
                edit(
                    "templates/keepalived.conf.j2",
                    "    state BACKUP\n",
                    "    state BACKUP\n    nopreempt\n",
                ),
            ),
            "haproxy-stopped",
            "lb-2 is VRRP master, not lb-1",
        ),
        (
            (
                edit(
                    "portway/node/address/mover.py",
                    "self._away_since = 0, None, None\n"
                    "        self._look_again(self.config.check_interval)",
                    "self._away_since = 0, None, None\n        self._look_again(3600)",
                ),
                edit(
                    "portway/node/address/mover.py",
                    "else config.standby_interval)",
                    "else 3600)",
                ),
            ),
            "address-moved-by-hand",
            "AWS gives the address to lb-2",
        ),
    ],
    ids=["a check that finds nothing", "nopreempt", "no periodic check"],
)
def test_scenario_fails_and_says_why_without(
    broken: System,
    copy: Path,
    edits: tuple[Callable[[Path], None], ...],
    scenario: str,
    reason: str,
) -> None:
    for change in edits:
        change(copy)
    broken.deploy(project=copy)
    result = failover(broken, scenario, project=copy)
    assert result.returncode == 1
    assert "FAIL" in output(result)
    assert reason in output(result)
