"""What docs/fleet.md says of many nodes comes from their own decisions, simulated."""

import random

import pytest

from bench.fleet import HOUR, LIMITS, LOOK, Aws, Fleet, rows
from portway.model.settings import Settings
from tests.unit.documents.reading import PROJECT

LOOK_SECONDS = float(Settings.model_fields["agent_look_interval"].default)
INTERVAL = float(Settings.model_fields["agent_interval"].default)
NEVER = (10 * HOUR, 10 * HOUR)


@pytest.mark.parametrize("nodes", [10, 100])
def test_table_is_what_the_simulation_says(nodes: int) -> None:
    line = f"| {' | '.join(rows(nodes, LOOK_SECONDS, INTERVAL))} |"
    assert line in (PROJECT / "docs" / "fleet.md").read_text().splitlines()


def test_thousand_nodes_stay_below_the_limits_once_they_have_come_apart() -> None:
    aws = Aws(published_at=NEVER[0], silent=NEVER)
    fleet = Fleet(1_000, aws, LOOK_SECONDS, INTERVAL, random.Random(2))
    fleet.live(1.5 * HOUR)
    assert max(fleet.failed) < HOUR / 4, "all were launched in one second"
    for name in LOOK:
        seconds = [aws.calls[name, s] for s in range(int(HOUR), int(1.5 * HOUR))]
        assert 10 < sum(seconds) / len(seconds) < LIMITS[name][1]
        assert max(seconds) < LIMITS[name][0]


def test_release_reaches_a_thousand_nodes_within_minutes() -> None:
    aws = Aws(published_at=HOUR, silent=NEVER)
    fleet = Fleet(1_000, aws, LOOK_SECONDS, INTERVAL, random.Random(3))
    fleet.live(1.5 * HOUR)
    assert len(fleet.has_it) == 1_000
    assert max(fleet.has_it) - HOUR < 600
