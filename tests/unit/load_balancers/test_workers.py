"""Whether a load balancer can take one more HAProxy process."""

from dataclasses import replace

import pytest

from portway.load_balancers.workers import (
    Worker,
    Workers,
    WorkersFacts,
    reload_problem,
)
from portway.render.load_balancer import MAX_RELOADS

NEWEST = Worker(pid=9, reloads=0, memory=150)
FOUND = Workers(True, NEWEST, (Worker(8, 1, 100), Worker(7, 3, 60)), available=300)


def test_lines_of_a_node_are_understood() -> None:
    lines = ["runs", "newest 9 0 153600", "older 8 1 102400", "older 7 3"]
    lines += ["available 307200"]
    assert WorkersFacts().process(lines) == replace(FOUND, older=(Worker(8, 1, 100),))


@pytest.mark.parametrize("found", [Workers(), FOUND, replace(FOUND, older=())])
def test_reload_for_which_there_is_memory_is_no_problem(found: Workers) -> None:
    assert reload_problem(found) == ""


def test_lack_of_memory_is_told_with_the_numbers_and_the_way_out() -> None:
    text = reload_problem(replace(FOUND, available=299))
    assert text.startswith("a reload of HAProxy needs 300 MiB, 299 MiB are available")
    assert "2 older processes with streams take 160 MiB" in text
    assert text.endswith("close those of the oldest: sudo kill 7")
    alone = reload_problem(replace(FOUND, available=299, older=()))
    assert alone.endswith("use a larger instance type")


def test_reload_that_would_kill_a_worker_is_a_problem() -> None:
    old = Worker(7, MAX_RELOADS - 1, 60)
    assert "would kill process 7" in reload_problem(replace(FOUND, older=(old,)))
    younger = replace(old, reloads=MAX_RELOADS - 2)
    assert reload_problem(replace(FOUND, older=(younger,))) == ""


def test_reload_of_which_nothing_is_known_is_a_problem() -> None:
    assert "its master does not answer" in reload_problem(Workers(runs=True))
