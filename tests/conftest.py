"""Says at the end how many tests ran at each level, and in which files time went."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.integration.database.fixtures"]

# Tests share a machine with labs: how long an example takes says nothing of the code.
settings.register_profile(
    "shared machine",
    deadline=None,
    suppress_health_check=[
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)
settings.load_profile("shared machine")

LEVELS = ("unit", "integration", "lab")
SHOWN = 12
"""Files that are named with their seconds, the slowest first."""
LEAST = 5.0
"""Seconds that one must have taken."""


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Two lines: the tests that were run, by level, and the files that took longest."""
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            counts[Path(report.nodeid).parts[1]] += 1
    line = ", ".join(f"{level} {counts[level]}" for level in LEVELS if counts[level])
    terminalreporter.write_line(f"Tests run at each level: {line}")
    seconds: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):  # of a set-up, a test, its end
                file = report.nodeid.partition("::")[0].removeprefix("tests/")
                seconds[file] = seconds.get(file, 0.0) + report.duration
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:SHOWN]
    slow = (f"{file} {took:.0f} s" for file, took in slowest if took >= LEAST)
    if text := ", ".join(slow):
        terminalreporter.write_line(f"Longest files: {text}")
