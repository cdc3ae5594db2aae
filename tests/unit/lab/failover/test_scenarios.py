"""Which scenarios there are, how they are chosen, and how their outcomes are kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.failover import command
from lab.failover.scenarios import SCENARIOS
from tests.unit.lab.failover.test_outcome import GOOD


def test_names_of_scenarios_differ_and_can_be_typed() -> None:
    slugs = [scenario.slug for scenario in SCENARIOS]
    assert len(set(slugs)) == len(slugs)
    assert all(slug.replace("-", "").isalnum() for slug in slugs)


def test_scenario_without_a_bound_on_the_outage_has_one_on_what_follows() -> None:
    for scenario in SCENARIOS:
        expected = scenario.expected
        assert (expected.outage is None) != (expected.restored is None), scenario.name


def test_other_kinds_of_address_have_the_shorter_list() -> None:
    assert command.chosen((), "elastic-ip") == list(SCENARIOS)
    assert {s.slug for s in command.chosen((), "route")} == {
        "address-moved-by-hand",
        "haproxy-stopped",
        "host-frozen",
        "host-powered-off",
        "split-brain",
        "planned-transfer",
    }


def test_scenarios_are_chosen_by_name() -> None:
    (one,) = command.chosen(("aws-down", "AWS down"), "elastic-ip")
    assert one.name == "AWS down"
    with pytest.raises(LabError, match="no scenario 'aws-up'; --list"):
        command.chosen(("aws-up",), "elastic-ip")


def test_kept_outcomes_are_replaced_by_new_ones_and_stay_in_order(
    tmp_path: Path,
) -> None:
    file = tmp_path / "outcomes.json"
    frozen = replace(GOOD, name="host frozen")
    stopped = replace(GOOD, name="HAProxy stopped")
    by_route = replace(frozen, kind="route")
    command.save(file, [by_route, frozen])
    anew = replace(frozen, lost=3)
    assert command.merged(file, [anew, stopped]) == [stopped, anew, by_route]


def test_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('[{"name": "x"}]')
    with pytest.raises(LabError, match="has no outcomes"):
        command.load(file)
