"""Servers change in a running HAProxy: no reload, and streams of others stay."""

import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from itertools import count
from pathlib import Path
from statistics import median

import pytest

from portway.contract.reloads import Kind, Reason
from portway.load_balancers import console, runtime, server_changes
from portway.load_balancers.server_changes import RunningServer, ServerChange
from tests.integration.load_balancers.haproxy_process import (
    NODE,
    Application,
    Haproxy,
    Nodes,
    Stream,
    WebPage,
    applications,
    wait_until,
)
from tests.integration.ports import free_port

PLAIN, RANDOM, STICKY, MAPPED, HTTP = (free_port() for _ in range(5))
CLIENTS = (
    {"client_name": "plain", "client_port": PLAIN},
    {"client_name": "random", "client_port": RANDOM, "balance": "random"},
    {"client_name": "sticky", "client_port": STICKY, "balance": "source"},
    {"client_name": "mapped", "client_port": MAPPED, "app_port": PLAIN},
)
TWO: Nodes = {"app-1": 1, "app-2": 2}
THREE: Nodes = {**TWO, "app-3": 3}
ONE, SECOND, THIRD = (NODE.format(n) for n in (1, 2, 3))


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    found = Haproxy(tmp_path, CLIENTS)
    yield found
    found.stop()


@pytest.fixture
def nodes(haproxy: Haproxy) -> Iterator[dict[str, Application]]:
    yield from applications(haproxy, range(1, 7), [PLAIN, RANDOM, STICKY])


def answering(port: int, tries: int = 8) -> set[str]:
    """The nodes that answer new connections."""
    found = set()
    for _ in range(tries):
        stream = Stream(port)
        found.add(stream.node)
        stream.close()
    return found


def assert_open(streams: list[Stream]) -> None:
    assert [stream.ask() for stream in streams] == [stream.node for stream in streams]


def facts(haproxy: Haproxy) -> dict[str, RunningServer]:
    """The servers as they are once their checks have settled."""
    wait_until(lambda: all(s.passed == 4 for s in haproxy.servers().values()))
    return haproxy.servers()


def test_added_node_serves_within_a_second_and_nothing_is_reloaded(
    haproxy: Haproxy, nodes: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    haproxy.start(TWO)
    streams = [Stream(port) for port in (PLAIN, RANDOM, STICKY, MAPPED) for _ in "1234"]
    served = note_admissions(haproxy, monkeypatch)
    began = time.monotonic()
    plan = haproxy.deploy(THREE)
    assert served[-1] - began < 1, "its first check waits for no interval"
    assert isinstance(plan, ServerChange)
    assert plan.steps == ("app-3 added",)
    assert THIRD in answering(PLAIN)
    assert THIRD in answering(MAPPED)
    assert THIRD in answering(RANDOM, 30)
    assert (haproxy.reloads(), haproxy.workers()) == (0, 1)
    assert_open(streams)
    assert haproxy.is_recorded()


def test_change_takes_few_round_trips(
    haproxy: Haproxy, nodes: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each costs about 40 ms on a connection without any delay."""
    haproxy.start(TWO)
    scripts: list[str] = []
    run = haproxy.shell

    def shell(script: str, stdin: str = "") -> list[str]:
        # It asks again until the first check is made, which is up to HAProxy.
        if script.strip() != console.STATES_SCRIPT.strip():
            scripts.append(script)
        return run(script, stdin)

    monkeypatch.setattr(haproxy, "shell", shell)
    for wanted, most in ((THREE, 4), ({"app-1": 4, "app-3": 3}, 6), (TWO, 6)):
        del scripts[:]
        assert isinstance(haproxy.deploy(wanted), ServerChange)
        assert len(scripts) <= most, scripts


def test_process_is_the_same_as_one_started_with_the_file(
    haproxy: Haproxy, nodes: dict[str, Application], tmp_path: Path
) -> None:
    haproxy.start(TWO)
    haproxy.deploy({"app-2": 2, "app-3": 3, "app-4": 5})
    changed, sticky = facts(haproxy), answering(STICKY)
    fresh = Haproxy(tmp_path / "fresh", CLIENTS)
    fresh.health, fresh.stats = haproxy.health, haproxy.stats
    fresh.folder.mkdir()
    haproxy.stop()
    fresh.start({"app-2": 2, "app-3": 3, "app-4": 5})
    try:
        assert facts(fresh) == changed
        assert answering(STICKY) == sticky
    finally:
        fresh.stop()


def test_node_that_is_not_healthy_gets_no_traffic_until_it_is(
    haproxy: Haproxy,
    nodes: dict[str, Application],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "FIRST_CHECK", 1.5)
    nodes[THIRD].healthy = False
    haproxy.start(TWO)
    asked: set[str] = set()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            asked.update(answering(PLAIN))

    customer = threading.Thread(target=ask)
    customer.start()
    try:
        haproxy.deploy(THREE)
    finally:
        ended.set()
        customer.join()
    assert asked == {ONE, SECOND}
    assert haproxy.reloads() == 0
    nodes[THIRD].healthy = True
    wait_until(lambda: THIRD in answering(PLAIN))


def test_node_that_goes_gets_its_drain_and_then_its_streams_are_closed(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(THREE)
    streams = [Stream(PLAIN) for _ in range(6)] + [Stream(RANDOM) for _ in range(12)]
    going = [stream for stream in streams if stream.node == THIRD]
    staying = [stream for stream in streams if stream.node != THIRD]
    assert going
    deploy = threading.Thread(target=haproxy.deploy, args=(TWO, 3))
    began = time.monotonic()
    deploy.start()
    while time.monotonic() - began < 2.5:
        assert_open(streams)
        assert answering(PLAIN, 2) <= {ONE, SECOND, THIRD}
        time.sleep(0.2)
    assert answering(PLAIN) == {ONE, SECOND}
    deploy.join()
    assert {stream.ask() for stream in going} == {""}
    assert_open(staying)
    assert set(haproxy.servers()) & {"tcp_leastconn/app-3", "tcp_source/app-3"} == set()
    assert (haproxy.reloads(), haproxy.workers()) == (0, 1)


def test_replaced_node_serves_while_the_old_one_is_drained(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(TWO)
    streams = [Stream(PLAIN) for _ in range(6)]
    going = [stream for stream in streams if stream.node == SECOND]
    deploy = threading.Thread(target=haproxy.deploy, args=({"app-1": 1, "app-2": 3}, 4))
    began = time.monotonic()
    deploy.start()
    wait_until(lambda: answering(PLAIN) == {ONE, THIRD}, 2.5)
    new = [Stream(PLAIN) for _ in range(6)]
    assert THIRD in {stream.node for stream in new}
    assert_open(going)
    deploy.join()
    assert time.monotonic() - began > 4
    assert {stream.ask() for stream in going} == {""}
    assert_open([stream for stream in streams if stream.node == ONE] + new)
    assert (haproxy.reloads(), haproxy.workers()) == (0, 1)
    assert haproxy.is_recorded()


def test_streams_of_a_node_that_goes_are_drained_in_older_workers_too(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(TWO)
    haproxy.deploy({"app-1": 1, "app-2": 3})
    streams = [Stream(PLAIN) for _ in range(4)]
    reason = haproxy.deploy({"app-1": 1, "app-2": 3}, idle_timeout=1000)
    assert isinstance(reason, Reason)
    assert haproxy.workers() == 2
    assert isinstance(haproxy.deploy(TWO, 1, idle_timeout=1000), ServerChange)
    assert {s.ask() for s in streams} == {ONE, ""}
    assert_open([stream for stream in streams if stream.node == ONE])


def test_streams_of_a_node_that_is_down_are_closed_at_once(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(TWO)
    streams = [Stream(PLAIN) for _ in range(4)]
    haproxy.deploy(TWO, idle_timeout=1000)  # now they are an older worker's
    nodes[SECOND].healthy = False
    wait_until(
        lambda: (
            not any(s.is_up for s in haproxy.servers().values() if s.name == "app-2")
        )
    )
    began = time.monotonic()
    haproxy.deploy({"app-1": 1}, 60, idle_timeout=1000)
    assert time.monotonic() - began < 5
    assert {stream.ask() for stream in streams} == {ONE, ""}


def test_streams_of_a_node_that_only_looks_down_get_their_drain(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    """It refuses health checks because it is about to be terminated."""
    haproxy.start(TWO)
    streams = [Stream(PLAIN) for _ in range(4)]
    nodes[SECOND].healthy = False
    (leaving,) = {
        server.address
        for server in haproxy.servers().values()
        if server.name == "app-2"
    }
    wait_until(
        lambda: (
            not any(s.is_up for s in haproxy.servers().values() if s.name == "app-2")
        )
    )
    args = ({"app-1": 1}, 3, (leaving,))
    deploy = threading.Thread(target=haproxy.deploy, args=args)
    began = time.monotonic()
    deploy.start()
    while time.monotonic() - began < 2.5:
        assert_open(streams)
        time.sleep(0.2)
    deploy.join()
    assert {stream.ask() for stream in streams} == {ONE, ""}


def test_idle_connections_to_an_http_node_do_not_keep_it(haproxy: Haproxy) -> None:
    web = {"client_name": "web", "client_port": HTTP, "mode": "http"}
    haproxy.clients = ({**web, "app_port": free_port()},)
    servers = [
        ThreadingHTTPServer((NODE.format(n), port), WebPage)
        for n in (1, 2, 3)
        for port in (haproxy.health, haproxy.clients[0]["app_port"])
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        haproxy.start(TWO)
        for _ in range(6):
            urllib.request.urlopen(f"http://127.0.2.1:{HTTP}/", timeout=5).close()
        assert isinstance(haproxy.deploy({"app-1": 1, "app-3": 3}), ServerChange)
        assert haproxy.reloads() == 0
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class Interrupted:
    """A shell that is interrupted after so many scripts and lines that they read."""

    def __init__(self, haproxy: Haproxy, after: int) -> None:
        self.shell, self.left = haproxy.shell, after

    def __call__(self, script: str, stdin: str = "") -> list[str]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        lines = stdin.splitlines(keepends=True)
        if self.left < len(lines):
            self.shell(script, "".join(lines[: self.left]))
            raise KeyboardInterrupt
        self.left -= len(lines)
        return self.shell(script, stdin)


def test_interrupted_change_is_completed_or_taken_back_by_the_next(
    haproxy: Haproxy, nodes: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    haproxy.downinter = "200ms"
    haproxy.clients = CLIENTS[:2]
    haproxy.start(TWO)
    other: Nodes = {"app-1": 4, "app-3": 3}
    monkeypatch.setattr(console, "LONGEST_LINE", 1)  # a command a line
    for number in count(2, 9):
        with monkeypatch.context() as patch:
            patch.setattr(haproxy, "shell", Interrupted(haproxy, number))
            try:
                haproxy.deploy(other)
            except KeyboardInterrupt:
                pass
            else:
                break
        for following in (other, TWO) if number % 4 else (TWO,):
            assert isinstance(haproxy.deploy(following), ServerChange)
            assert answering(PLAIN) == {NODE.format(n) for n in following.values()}
            assert haproxy.is_recorded()
    assert number > 20
    assert (haproxy.reloads(), haproxy.workers()) == (0, 1)


def test_interrupted_change_of_ordered_clients_is_completed_by_the_next(
    haproxy: Haproxy, nodes: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    haproxy.downinter = "200ms"
    haproxy.clients = ({"client_name": "o", "client_port": PLAIN, "ordered": True},)
    haproxy.start(TWO)
    following: Nodes = {"app-1": 4, "app-3": 3}
    monkeypatch.setattr(console, "LONGEST_LINE", 1)
    for number in count(3, 7):
        with monkeypatch.context() as patch:
            patch.setattr(haproxy, "shell", Interrupted(haproxy, number))
            try:
                haproxy.deploy(following)
            except KeyboardInterrupt:
                pass
            else:
                break
        assert isinstance(haproxy.deploy(following), ServerChange)
        found = [s.is_up and not s.is_drained for s in haproxy.servers().values()]
        assert found == [True] * len(following)
        assert answering(PLAIN, 1) <= {NODE.format(n) for n in following.values()}
        assert haproxy.is_recorded()
        following = {**TWO} if 3 in following.values() else {"app-1": 4, "app-3": 3}
    assert number > 8
    assert (haproxy.reloads(), haproxy.workers()) == (0, 1)


def test_change_that_haproxy_refuses_ends_in_a_reload_that_says_why(
    haproxy: Haproxy, nodes: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_changes, "STATIC", ())
    haproxy.clients = ({**CLIENTS[0], "balance": "static-rr"},)
    haproxy.start(TWO)
    streams = [Stream(PLAIN) for _ in range(4)]
    haproxy.deploy(THREE)
    assert haproxy.said == [
        "reload: server change failed: Backend must use a dynamic load balancing to "
        "support dynamic servers."
    ]
    assert haproxy.reloads() == 1
    wait_until(lambda: THIRD in answering(PLAIN))
    assert_open(streams)
    assert haproxy.is_recorded()


def test_static_balance_is_reloaded_and_says_so(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.clients = ({**CLIENTS[0], "balance": "static-rr"},)
    haproxy.start(TWO)
    plan = haproxy.deploy(THREE)
    assert plan == Reason(
        Kind.SERVERS,
        "tcp_static-rr has balance static-rr, which cannot change while it runs",
    )
    assert haproxy.reloads() == 1
    wait_until(lambda: THIRD in answering(PLAIN))
    assert haproxy.is_recorded()


def note_admissions(haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When new nodes were given traffic."""
    times: list[float] = []
    run = haproxy.shell

    def shell(script: str, stdin: str = "") -> list[str]:
        answer = run(script, stdin)
        if "state ready" in stdin or " addr " in stdin:
            times.append(time.monotonic())
        return answer

    monkeypatch.setattr(haproxy, "shell", shell)
    return times


def test_hundred_node_changes_leave_one_worker_and_cut_no_stream_of_one_that_stays(
    haproxy: Haproxy, nodes: dict[str, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    haproxy.downinter = "100ms"
    monkeypatch.setattr(runtime, "PAUSE", 0.05)
    haproxy.start({"app-1": 1, "app-2": 2})
    streams = [Stream(random.choice((PLAIN, RANDOM, MAPPED))) for _ in range(200)]
    served = note_admissions(haproxy, monkeypatch)
    current: Nodes = {"app-1": 1, "app-2": 2}
    rng = random.Random(1)
    seconds = []
    for number in range(100):
        before = dict(current)
        free = [n for n in range(1, 7) if n not in current.values()]
        kind = rng.choice(("add", "remove", "replace"))
        name = rng.choice(list(current))
        if kind == "add" and free:
            current[f"new-{number}"] = rng.choice(free)
        elif kind == "remove" and len(current) > 2:
            del current[name]
        else:
            current[name] = rng.choice(free) if free else current[name]
        added = set(current.values()) - set(before.values())
        began = time.monotonic()
        plan = haproxy.deploy(current)
        assert isinstance(plan, ServerChange) or before == current, plan
        if added:
            # The "ready" of a replaced node follows the end of the old one's streams.
            seconds.append(min(t for t in served if t > began) - began)
        kept = {NODE.format(n) for n in current.values()}
        assert_open([stream for stream in streams if stream.node in kept])
        streams = [s if s.node in kept else Stream(PLAIN) for s in streams]
        assert {s.address for s in haproxy.servers().values()} == kept
    assert (haproxy.reloads(), haproxy.workers()) == (0, 1)
    print(f"median {median(seconds):.2f} s, slowest {max(seconds):.2f} s")
    assert median(seconds) < 2, "each, on a machine that does nothing else"
