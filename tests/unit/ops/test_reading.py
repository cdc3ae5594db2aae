"""Things are read once per host and stage, and nothing outlives its run."""

import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import gevent
import pytest
from pyinfra.api import Config, Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from portway.errors import PortwayError
from portway.ops.reading import (
    Readings,
    forget_host,
    keep_of_host,
    once_per_host,
    once_per_run,
    once_per_stage,
    readings,
)


def new_run(*names: str) -> State:
    hosts: list[Any] = [(name, {}) for name in names or ("lb-1",)]
    return State(Inventory((hosts, {})), Config())


@pytest.fixture
def run() -> Iterator[State]:
    run = new_run("lb-1", "lb-2")
    with ctx_state.use(run), ctx_host.use(run.inventory.get_host("lb-1")):
        yield run


class Source:
    """Something that gives another answer each time it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> int:
        self.reads += 1
        return self.reads


def test_each_host_is_read_once(run: State) -> None:
    source = Source()
    assert [once_per_host("x", source) for _ in range(2)] == [1, 1]
    with ctx_host.use(run.inventory.get_host("lb-2")):
        assert once_per_host("x", source) == 2
    assert once_per_host("x", source) == 1


def test_changed_host_is_read_again_and_others_are_not(run: State) -> None:
    source = Source()
    with ctx_host.use(run.inventory.get_host("lb-2")):
        assert once_per_host("x", source) == 1
    assert once_per_host("x", source) == 2
    forget_host()
    assert once_per_host("x", source) == 3
    with ctx_host.use(run.inventory.get_host("lb-2")):
        assert once_per_host("x", source) == 1


@pytest.mark.parametrize(("asked", "reads"), [(True, 2), (False, 1)])
def test_confirmed_run_is_read_again_if_people_were_asked(
    run: State, asked: bool, reads: int
) -> None:
    run.check_for_changes = asked
    host, pair, secret = Source(), Source(), Source()

    def read() -> None:
        once_per_host("x", host)
        once_per_stage("x", pair)
        once_per_run("x", secret)

    read()
    run.is_executing = True
    read()
    assert (host.reads, pair.reads, secret.reads) == (reads, reads, 1)


def test_next_run_knows_nothing_of_this_one(run: State) -> None:
    source = Source()
    assert once_per_run("x", source) == 1
    other = new_run()
    with ctx_state.use(other):
        assert once_per_run("x", source) == 2
    assert once_per_run("x", source) == 1


def test_nothing_is_kept_of_a_run_that_is_over() -> None:
    class Secret:
        """Something that, as a connection does, refers to a host and so to its run."""

        def __init__(self) -> None:
            self.host = ctx_state.get().inventory.get_host("lb-1")

    def one_run() -> tuple[Any, Any]:
        run = new_run()
        with ctx_state.use(run):
            return ref(once_per_run("secret", Secret)), ref(run)

    secret, run = one_run()
    gc.collect()
    assert (secret(), run()) == (None, None)


def test_hosts_that_are_prepared_side_by_side_read_once() -> None:
    known, source = Readings(), Source()

    def slowly() -> int:
        gevent.sleep(0.01)
        return source()

    def read() -> int:
        return known.once((None, "x"), slowly)

    tasks = [gevent.spawn(read) for _ in range(5)]
    gevent.joinall(tasks)
    assert [task.value for task in tasks] == [1] * 5


def test_different_things_are_read_side_by_side() -> None:
    known = Readings()
    order: list[str] = []

    def read(name: str) -> None:
        order.append(f"{name} begins")
        gevent.sleep(0.01)
        order.append(f"{name} ends")

    tasks = [
        gevent.spawn(known.once, (name, "x"), lambda name=name: read(name))
        for name in ("lb-1", "lb-2")
    ]
    gevent.joinall(tasks)
    assert order[:2] == ["lb-1 begins", "lb-2 begins"]


def test_failed_reading_is_tried_again() -> None:
    known = Readings()
    answers: Iterator[Any] = iter([PortwayError("no"), "yes"])

    def read() -> Any:
        answer = next(answers)
        if isinstance(answer, PortwayError):
            raise answer
        return answer

    with pytest.raises(PortwayError):
        known.once((None, "x"), read)
    assert known.once((None, "x"), read) == "yes"


def test_outside_a_run_it_says_so() -> None:
    with pytest.raises(PortwayError, match="inside a pyinfra run"):
        readings()


def test_change_whose_result_is_known_is_not_read_again(run: State) -> None:
    source = Source()
    assert once_per_host("x", source) == 1
    keep_of_host("x", 7)
    assert once_per_host("x", source) == 7
    forget_host()
    assert once_per_host("x", source) == 2
