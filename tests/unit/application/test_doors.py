"""A node that closes its doors waits for what it says it waits for."""

import json
import time

import pytest

from portway.application import doors as module
from portway.application.doors import Doorkeeper, Doors

DOORS = Doors(
    {"lb-1": "10.0.0.1", "lb-2": "10.0.0.2"}, 8080, (9001, 9002), 3, 2, 4, 2, 60
)
SS = """\
ESTAB      0 0          10.0.1.5:9001        10.0.0.1:40000
FIN-WAIT-1 0 1  [::ffff:10.0.1.5]:9002  [::ffff:10.0.0.2]:40001
ESTAB      0 0          10.0.1.5:9002        10.0.1.5:40002
ESTAB      0 0         127.0.0.1:9002       127.0.0.1:40002
ESTAB      0 0          10.0.1.5:22          10.0.0.1:40003
ESTAB      0 0          10.0.1.5:40004       10.0.0.1:9001
"""


def test_streams_are_those_of_others_to_ports_of_clients() -> None:
    assert DOORS.streams(SS.splitlines()) == 2


def test_a_file_says_what_was_written() -> None:
    assert Doors.from_json(DOORS.to_json()) == DOORS


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"health_port": 1}'])
def test_a_file_that_says_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Doors.from_json(text)


class Node:
    """A node whose load balancers check it once per look, with streams that end."""

    def __init__(self, streams: int = 0, silent: tuple[str, ...] = ()) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.rules: list[str] = []
        self._streams, self._silent = streams, silent
        self._checks = 0

    def run(self, script: str, stdin: str | None) -> list[str]:
        if stdin is not None:
            self.rules.append(stdin)
            self._checks = 0
        elif "list counters" in script:
            self._checks += 1
            counters = [
                {"counter": {"name": n, "packets": 0 if n in self._silent else made}}
                for n, made in dict.fromkeys(DOORS.load_balancers, self._checks).items()
            ]
            return [json.dumps({"nftables": [{"metainfo": {}}, *counters]})]
        elif script.startswith("ss "):
            self._streams -= self._streams > 0
            return SS.splitlines()[:1] * self._streams
        else:
            self.rules.append(script)
        return []

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def keeper(self) -> Doorkeeper:
        return Doorkeeper(DOORS, self.run, self.said.append, self.pause)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Nodes, of which the last one says what time it is."""
    nodes: list[Node] = []
    monkeypatch.setattr(time, "monotonic", lambda: nodes[-1].now)
    return nodes


def test_it_refuses_clients_once_haproxy_knows_and_waits_for_streams(
    clock: list[Node],
) -> None:
    clock.append(node := Node(streams=30))
    node.keeper().close()
    unwell, closed = node.rules
    assert "dport 8080 counter name lb-1 reject" in unwell
    assert "9001" not in unwell, "clients come in until HAProxy sends none"
    assert "\ntcp dport { 8080, 9001, 9002 } reject" in closed
    assert node.now == pytest.approx((DOORS.fall * 4 - 1 + 29) * module.PAUSE_SECONDS)
    assert [line.split(",")[0] for line in node.said] == ["draining"] * 3


def test_streams_that_do_not_end_are_left(clock: list[Node]) -> None:
    clock.append(node := Node(streams=10_000))
    node.keeper().close()
    assert DOORS.drain_timeout <= node.now < DOORS.drain_timeout + 10
    assert node.said[-1].startswith("closing ")


def test_a_load_balancer_that_is_dead_is_not_waited_for_longer(
    clock: list[Node],
) -> None:
    clock.append(node := Node(silent=("lb-2",)))
    node.keeper().close()
    assert node.now == pytest.approx(module.CHECKED_SECONDS + 4)
    (said,) = node.said
    assert said.startswith("lb-2 sends it clients until its health check was made 12")


def test_it_comes_back_once_it_was_seen_to_be_well(clock: list[Node]) -> None:
    clock.append(node := Node())
    node.keeper().open()
    counting, forget = node.rules
    assert "reject" not in counting
    assert node.now == pytest.approx(((DOORS.rise + 1) * 4 - 1) * module.PAUSE_SECONDS)
    assert forget == module.FORGET
