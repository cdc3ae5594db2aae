"""Events are put together from what each node remembers."""

import json
from dataclasses import replace

from portway.load_balancers.remembered import Reload, Remembered, RememberedFacts, Said
from portway.model.runs import DIED, RunReport, read_report
from portway.ops.runs import RunsFacts
from portway.run.history import Told, events

RUN = RunReport(
    who="anna@desk",
    what="deploys/site.py",
    began=1000,
    ended=1040,
    result="succeeded",
    changes=("Write a",),
)


def test_run_on_several_nodes_is_one_event() -> None:
    other = replace(RUN, changes=(), ended=1041)
    (event,) = events([Told("lb-1", (RUN,)), Told("lb-2", (other,))])
    assert event.nodes == ("lb-1", "lb-2")
    assert event.seconds == 41
    assert event.changes == {"lb-1": ("Write a",)}
    assert event.result == "succeeded"


def test_run_that_failed_anywhere_has_failed() -> None:
    failed = replace(RUN, result="failed")
    (event,) = events([Told("lb-1", (RUN,)), Told("lb-2", (failed,))])
    assert event.result == "failed"


def test_two_runs_of_one_operator_are_two_events() -> None:
    later = replace(RUN, began=2000, ended=2001)
    assert len(events([Told("lb-1", (RUN, later)), Told("lb-2", (later,))])) == 2


def test_run_that_was_broken_off_is_the_one_that_others_know() -> None:
    line = f"{DIED}since 1002\twho anna@desk (process 7)\twhat deploys/site.py"
    died = read_report(line)
    assert died is not None
    (event,) = events([Told("lb-1", (RUN,)), Told("lb-2", (died,))])
    assert event.result == "broken off"
    assert event.nodes == ("lb-1", "lb-2")


def test_report_is_read_as_it_was_written_and_nothing_else() -> None:
    assert read_report(RUN.to_json()) == RUN
    for line in ("", "{}", "[]", "died\t", "died\twho anna", "null"):
        assert read_report(line) is None


def test_lease_says_which_run_goes_on_and_which_is_gone() -> None:
    lines = [
        "lease id 1",
        "lease since 5",
        "lease who anna",
        "lease what deploys/lb.py",
    ]
    for now, result in (("9", "going on"), ("11", "broken off")):
        said = ["lease now " + now, "lease expires 10", *lines]
        (found,) = RunsFacts().process([f"run {RUN.to_json()}", *said])[1:]
        assert (found.result, found.who) == (result, "anna")


def log(when: float, unit: str, text: str) -> Said:
    return Said(when, unit, text)


def test_move_has_its_reason_from_both_nodes() -> None:
    lost = log(99, "portway-check", "HAProxy's socket cannot be reached")
    said = (
        log(100, "portway-address", "VRRP: MASTER, was BACKUP"),
        log(100.1, "portway-address", "moving 203.0.113.9 to this node"),
        log(100.3, "portway-address", "203.0.113.9 points to this node"),
    )
    (event,) = events(
        [
            Told("lb-1", (), Remembered(said=(lost,))),
            Told("lb-2", (), Remembered(said=said)),
        ]
    )
    assert (event.kind, event.nodes) == ("move", ("lb-2",))
    assert event.text == (
        "203.0.113.9 moved here, because lb-2 became VRRP master; lb-1: HAProxy's "
        "socket cannot be reached"
    )


def test_move_that_aws_did_not_make_is_not_told_as_made() -> None:
    said = (
        log(100, "portway-address", "moving 203.0.113.9 to this node"),
        log(160, "portway-address", "moving 203.0.113.9 to this node"),
        log(161, "portway-address", "203.0.113.9 points to this node"),
        log(900, "portway-address", "203.0.113.9 points to this node"),  # restarted
        log(950, "portway-address", "moving 203.0.113.9 to this node"),
    )
    found = events([Told("lb-2", (), Remembered(said=said))])
    assert [("moved here" in e.text, e.when) for e in found] == [
        (False, 100),
        (True, 160),
        (False, 950),
    ]


def test_what_was_long_before_is_no_reason() -> None:
    gone = log(10, "portway-check", "the mover is gone")
    said = (
        log(100, "portway-address", "moving 203.0.113.9 to this node"),
        log(101, "portway-address", "203.0.113.9 points to this node"),
    )
    (event,) = events(
        [
            Told("lb-1", (), Remembered(said=(gone,))),
            Told("lb-2", (), Remembered(said=said)),
        ]
    )
    assert "the mover is gone" not in event.text


def test_run_that_was_started_again_at_once_is_another() -> None:
    again = replace(RUN, began=1015, ended=1030, changes=("Write b",))
    first = replace(RUN, ended=1010, result="failed")
    told = [Told("lb-1", (first, again)), Told("lb-2", (first, again))]
    found = events(told)
    assert [(e.result, e.nodes, e.when) for e in found] == [
        ("failed", ("lb-1", "lb-2"), 1000),
        ("succeeded", ("lb-1", "lb-2"), 1015),
    ]


def test_events_are_sorted_by_time() -> None:
    told = Told("lb-1", (RUN,), Remembered(reloads=(Reload(900, "clients", "new"),)))
    assert [event.kind for event in events([told])] == ["reload", "run"]


def test_what_a_load_balancer_remembers_is_read_from_its_files() -> None:
    line = {
        "__REALTIME_TIMESTAMP": "100500000",
        "_SYSTEMD_UNIT": "portway-check.service",
        "MESSAGE": "HAProxy serves",
    }
    reloads = {"counts": {}, "last": [{"time": 7, "kind": "clients", "reason": "x"}]}
    found = RememberedFacts().process(
        [f"reloads {json.dumps(reloads)}", f"log {json.dumps(line)}", "log {}", "log ["]
    )
    assert found.reloads == (Reload(7, "clients", "x"),)
    assert found.said == (Said(100.5, "portway-check", "HAProxy serves"),)
