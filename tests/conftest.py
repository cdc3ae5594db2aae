"""Says at the end how many tests ran at each level."""

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


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: the tests that were run, by level."""
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            counts[Path(report.nodeid).parts[1]] += 1
    line = ", ".join(f"{level} {counts[level]}" for level in LEVELS if counts[level])
    terminalreporter.write_line(f"Tests run at each level: {line}")
