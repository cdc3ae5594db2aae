"""What clients meet at HAProxy as Portway configures it, and what is known of them."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from portway.application.facts import ApplicationHealth
from portway.cli.monitoring.metric_names import HAPROXY
from tests.integration.load_balancers.rendered import (
    APPLICATIONS,
    Balancer,
    balancer,
    listening,
    wait_until,
)
from tests.integration.ports import free_ports

INSIDE, OUTSIDE = "127.0.0.9", "127.0.0.8"
ALLOW = [f"{INSIDE}/32"]
PLAIN, CLOSED, NOWHERE = "plain", "closed", "nowhere"
LISTED, WEB, LISTED_WEB = "listed", "web", "listed_web"
POST = (
    b"POST /x?secret=1 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n"
    b"x-forwarded-for: 7.7.7.7\r\nContent-Length: 2\r\n\r\nhi"
)


class Site:
    """A load balancer with a client of each kind, before two application nodes."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        names = (PLAIN, CLOSED, NOWHERE, LISTED, WEB, LISTED_WEB)
        self.health, self.stats, *numbers = free_ports(2 + len(names))
        self.ports = dict(zip(names, numbers, strict=True))
        self.received: list[tuple[str, bytes]] = []
        """Client and bytes of whatever the application was sent."""
        self.checks: list[bytes] = []
        self.stuck = False
        for address in APPLICATIONS:
            stack.enter_context(listening(address, self.health, self.check))
            for name in names:
                if name != NOWHERE and (name, address) != (CLOSED, APPLICATIONS[0]):
                    self.listen(stack, address, name)
        more: dict[str, dict[str, object]] = {
            LISTED: {"allow": ALLOW},
            WEB: {"mode": "http"},
            LISTED_WEB: {"mode": "http", "allow": ALLOW},
        }
        entries: list[dict[str, object]] = [
            {"client_name": name, "client_port": port} | more.get(name, {})
            for name, port in self.ports.items()
        ]
        self.balancer: Balancer = stack.enter_context(
            balancer(
                folder,
                entries,
                health=self.health,
                stats=self.stats,
                http_timeout=1,
                health_host="app.test",
                operator_networks=(f"{INSIDE}/32",),
                stats_allow=["127.0.0.7/32"],
            )
        )
        servers = 2 * len(self.balancer.cluster.backends)
        wait_until(lambda: self.balancer.up() == servers and len(self.checks) > 1)

    def check(self, connection: socket.socket) -> None:
        self.checks.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def listen(self, stack: ExitStack, address: str, name: str) -> None:
        def serve(connection: socket.socket) -> None:
            while data := connection.recv(4096):
                self.received.append((name, data))
                if self.stuck:
                    continue
                if "web" not in name:
                    connection.sendall(address.encode())
                else:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        stack.enter_context(listening(address, self.ports[name], serve))

    def talk(self, name: str, data: bytes, source: str = INSIDE) -> bytes:
        """What a client is answered; nothing if it is disconnected."""
        with self.connect(name, source) as client:
            try:
                client.sendall(data)
                return client.recv(4096)
            except ConnectionError:
                return b""

    def connect(self, name: str, source: str = INSIDE) -> socket.socket:
        where = ("127.0.0.1", self.ports[name])
        return socket.create_connection(where, 5, source_address=(source, 0))

    def metrics(self) -> str:
        where = ("127.0.0.1", self.stats)
        with socket.create_connection(where, 5, source_address=(INSIDE, 0)) as client:
            client.sendall(
                b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()

    def total(self, what: str, name: str, side: str = "frontend") -> int:
        metric = f'haproxy_{side}_{what}_total{{proxy="{name}"}} '
        return int(self.metrics().partition(metric)[2].split()[0])

    def line(self, name: str, number: int = 0) -> dict[str, str]:
        """A line of the log about a client."""
        wait_until(lambda: len(self.balancer.lines(name)) > number)
        return self.balancer.lines(name)[number]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path)


def test_haproxy_and_portway_ask_for_health_with_the_same_bytes(site: Site) -> None:
    check = site.balancer.cluster.health
    of_haproxy = set(site.checks)
    assert of_haproxy == {check.request.encode()}
    assert b"HTTP/1.1\r\nhost: app.test\r\n" in site.checks[0]

    asked: list[bytes] = []
    with listening("127.0.0.4", site.health, lambda c: asked.append(c.recv(4096))):
        health = ApplicationHealth()
        script = health.command("any", "127.0.0.4", check, ()).replace(
            "systemctl -q is-active", ":"
        )
        said = subprocess.run(
            ["sh", "-c", script], check=True, capture_output=True, text=True
        ).stdout
        assert "its health check on port" in said
    assert set(asked) == of_haproxy


def test_every_connection_leaves_a_line_that_says_who_and_how(site: Site) -> None:
    site.connect(PLAIN).close()
    nothing = site.line(PLAIN)
    assert (nothing["received"], nothing["sent"]) == ("0", "0")
    assert nothing["source"].startswith(f"{INSIDE}:")
    assert site.talk(PLAIN, b"hello")
    sent = site.line(PLAIN, 1)
    assert (sent["received"], sent["sent"], sent["end"]) == ("5", "9", "--")
    assert sent["node"] in ("app-1", "app-2")


@pytest.mark.parametrize("name", [LISTED, LISTED_WEB])
@pytest.mark.parametrize("data", [b"", POST])
def test_client_outside_its_allow_list_is_refused_at_once_and_leaves_a_line(
    site: Site, name: str, data: bytes
) -> None:
    began = time.monotonic()
    assert site.talk(name, data, OUTSIDE) == b""
    assert time.monotonic() - began < 1
    line = site.line(name)
    assert line["source"].startswith(f"{OUTSIDE}:")
    assert (line["node"], line["end"]) == ("<NOSRV>", "PR")
    assert site.received == []


@pytest.mark.parametrize("name", [WEB, LISTED_WEB])
def test_http_client_cannot_forge_where_it_comes_from(site: Site, name: str) -> None:
    with site.connect(name) as client:
        for _ in range(2):  # on one connection
            client.sendall(POST)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
    seen = b"".join(data for _, data in site.received).lower()
    assert seen.count(b"x-forwarded-for:") == 2
    assert seen.count(f"x-forwarded-for: {INSIDE}\r\n".encode()) == 2
    for number in range(2):
        line = site.line(name, number)
        assert (line["status"], line["request"]) == ("200", '"POST /x"')


@pytest.mark.parametrize("name", [WEB, LISTED_WEB])
def test_stuck_http_request_is_answered_with_504(site: Site, name: str) -> None:
    site.stuck = True
    began = time.monotonic()
    assert site.talk(name, POST).startswith(b"HTTP/1.1 504")
    assert 0.8 < time.monotonic() - began < 3
    assert site.line(name)["end"] == "sH"


def test_client_whose_port_is_refused_on_a_healthy_node_goes_elsewhere(
    site: Site,
) -> None:
    for _ in range(8):
        began = time.monotonic()
        assert site.talk(CLOSED, b"hello") == APPLICATIONS[1].encode()
        assert time.monotonic() - began < 3
    assert site.balancer.up() == 2 * len(site.balancer.cluster.backends)


def test_metrics_name_the_client_that_nobody_serves(site: Site) -> None:
    assert site.talk(NOWHERE, b"hello") == b""
    assert site.talk(PLAIN, b"hello")
    assert site.talk(LISTED, b"hello", OUTSIDE) == b""
    assert site.line(NOWHERE)["end"] == "SC"
    for name in (PLAIN, LISTED):  # what is counted when a connection ends, is
        site.line(name)
    text = site.metrics()
    assert {name for name in HAPROXY if f"\n# TYPE {name} " not in text} == set(), (
        "what the alerts name, HAProxy tells"
    )
    for name, answered in ((NOWHERE, False), (PLAIN, True), (LISTED, False)):
        assert site.total("sessions", name) == 1
        assert (site.total("bytes_out", name) > 0) is answered
        assert site.total("requests_denied", name) == (name == LISTED)


def test_metrics_tell_what_each_alert_about_answers_needs(site: Site) -> None:
    (backend,) = (b.name for b in site.balancer.cluster.backends if b.mode == "tcp")

    def refused() -> int:
        return site.total("connection_errors", backend, "backend")

    site.connect(PLAIN).close()
    assert site.talk(CLOSED, b"hello")
    site.line(PLAIN)
    site.line(CLOSED)
    assert refused() == 0, "another node took it"
    assert site.total("bytes_in", PLAIN) == 0, "it connected to look"
    assert site.talk(NOWHERE, b"hello") == b""
    site.line(NOWHERE)
    assert refused() == 1

    site.stuck = True
    with site.connect(PLAIN) as client:
        client.sendall(b"hello")
        wait_until(lambda: (PLAIN, b"hello") in site.received)
    site.line(PLAIN, 1)
    assert site.total("bytes_in", PLAIN) == 5
    assert site.total("bytes_out", PLAIN) == 0


def test_bytes_of_a_stream_are_told_when_it_ends(site: Site) -> None:
    """The alert about clients that nobody answers takes this into account."""
    with site.connect(PLAIN) as client:
        for _ in range(20):
            client.sendall(b"hello")
            assert client.recv(4096)
        assert site.total("sessions", PLAIN) == 1
        assert site.total("bytes_out", PLAIN) == 0
    site.line(PLAIN)
    assert site.total("bytes_out", PLAIN) > 0


@pytest.mark.parametrize(
    ("source", "served"), [(INSIDE, True), ("127.0.0.7", True), (OUTSIDE, False)]
)
def test_statistics_are_for_operators_only(
    site: Site, source: str, served: bool
) -> None:
    where = ("127.0.0.1", site.stats)
    answer = b""
    with (
        suppress(ConnectionError),  # they are reset at once
        socket.create_connection(where, 5, source_address=(source, 0)) as client,
    ):
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.recv(100)
    assert answer.startswith(b"HTTP/1.1 200") is served
    assert served or answer == b""
