"""Each promise, broken in a real run's record, is named by the judgement.

``run.json`` is the beginning of each part of a real run, on a machine that did much
else, so that the figures of the time until a node serves are not those of the document.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.endurance import judgement
from lab.endurance.judgement import cuts, problems
from lab.endurance.records import CLIENTS, NODES, Endurance, from_text, to_text
from lab.traffic.streams import Stream

TEXT = Path(__file__).with_name("run.json").read_text()


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured there says nothing of how soon a node can serve."""
    monkeypatch.setattr(judgement, "SERVED_WITHIN", 60.0)


@pytest.fixture
def run() -> Endurance:
    return from_text(TEXT)


def open_stream(run: Endurance, at: float) -> Stream:
    """One that stays where it is, and was open at a moment."""
    return next(
        s
        for s in run.streams
        if s.client.startswith("stays-")
        and s.opened < at
        and not s.was_cut
        and s.node in ("app-1", "app-2")
    )


def test_real_run_was_as_promised(run: Endurance) -> None:
    assert problems(run) == []
    assert {bool(cut.change) for cut in cuts(run)} == {True, False}


def test_record_is_read_as_it_was_written(run: Endurance) -> None:
    assert from_text(to_text(run)) == run


def reload_for_a_node(run: Endurance) -> None:
    moment = run.of(NODES)[1].began
    for look in run.looks:
        look.reloads += look.node == "lb-2" and look.at > moment


def reload_twice(run: Endurance) -> None:
    for look in run.looks:
        if look.node == "lb-2" and look.at > run.of(CLIENTS)[-1].began:
            look.reloads += len(run.of(CLIENTS))


def leave_a_worker(run: Endurance) -> None:
    change = run.of(NODES)[2]
    look = next(k for k in run.looks if change.began < k.at < change.ended)
    look.workers = 2


def keep_a_worker(run: Endurance) -> None:
    moment = run.of(CLIENTS)[-1].ended
    for look in run.looks:
        if look.node == "lb-2" and moment - 3 < look.at <= moment:
            look.workers += 3


def grow(run: Endurance) -> None:
    run.looks[-1].largest *= 2


def cut_one_that_stays(run: Endurance) -> None:
    change = run.of(NODES)[2]
    stream = open_stream(run, change.began)
    stream.ended, stream.how, stream.in_flight = change.began + 1, "reset", True


def cut_early(run: Endurance) -> None:
    cut = next(c for c in cuts(run) if c.change and not c.change.dies)
    assert cut.change
    address = run.addresses[cut.stream.node]
    drain = next(
        d
        for d in run.drains
        if d.address == address
        and d.node == run.settings.holder
        and d.at >= cut.change.began
    )
    cut.stream.ended = drain.at + 0.5


def cut_in_flight(run: Endurance) -> None:
    next(c for c in cuts(run) if c.is_retired).stream.in_flight = True


def cut_before_it_idled(run: Endurance) -> None:
    stream = next(c for c in cuts(run) if c.is_retired).stream
    stream.last_answer = stream.ended - 3


def keep_an_idle_one(run: Endurance) -> None:
    stream = next(c for c in cuts(run) if c.is_retired).stream
    stream.ended, stream.how = 0.0, ""


def serve_late(run: Endurance) -> None:
    change = next(c for c in run.of(NODES) if c.comes)
    change.served = change.answered + 61


def serve_nobody(run: Endurance) -> None:
    next(c for c in run.of(NODES) if c.comes).served = 0.0


def fail(run: Endurance) -> None:
    run.changes[0].problem = "deploys/lb.py ended with status 1"


def lose(run: Endurance) -> None:
    run.lost = ["one"]


def acknowledge_nothing(run: Endurance) -> None:
    run.acknowledged = 0


def ask_for_more(run: Endurance) -> None:
    run.settings.asked = {NODES: len(run.of(NODES)) + 1}


@pytest.mark.parametrize(
    ("break_", "sentence"),
    [
        (reload_for_a_node, "lb-2: changes of nodes reloaded HAProxy 1 times"),
        (reload_twice, "changes of clients reloaded HAProxy"),
        (leave_a_worker, "changes of nodes left 2 HAProxy processes"),
        (keep_a_worker, "older ones only"),
        (grow, "a HAProxy process came to take"),
        (cut_one_that_stays, "with a message in flight, though its node stayed"),
        (cut_early, "after its drain began; drain_timeout is 2 s"),
        (lambda run: run.drains.clear(), "being drained"),
        (cut_in_flight, "with a message in flight"),
        (cut_before_it_idled, "though its node stayed"),
        (keep_an_idle_one, "longer than retire_after"),
        (serve_late, "its first message was served 61.0 s after AWS's answer"),
        (serve_nobody, "nobody was served by it"),
        (fail, "deploys/lb.py ended with status 1"),
        (lose, "1 acknowledged messages are not in the database: one"),
        (acknowledge_nothing, "no message was acknowledged at all"),
        (ask_for_more, "changes of nodes were made, because"),
    ],
)
def test_broken_promise_is_named(
    run: Endurance, break_: Callable[[Endurance], None], sentence: str
) -> None:
    break_(run)
    found = problems(run)
    assert found
    assert all(sentence in text or text.startswith("…") for text in found), found
