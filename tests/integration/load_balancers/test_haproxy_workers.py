"""Streams that a reload left to an older worker are counted, and can be closed."""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from portway.contract.paths import ADMIN_SOCKET, MASTER_SOCKET
from portway.load_balancers import haproxy
from portway.load_balancers.haproxy import Balancing, BalancingFacts
from portway.load_balancers.sockets import ASKING, AT_ONCE
from portway.load_balancers.workers import WorkersFacts
from tests.integration.load_balancers.haproxy_process import wait_until
from tests.integration.ports import free_port, not_accepting

CONNECT_SECONDS = 4
CONFIG = """
global
    stats socket {folder}/admin.sock mode 660 level admin
    maxconn 300
defaults
    mode tcp
    timeout connect {connect}s
    retries 0
    timeout client 1h
    timeout server 1h
frontend plain
    bind 127.0.0.1:{front}
    default_backend tcp_leastconn
backend tcp_leastconn
    balance roundrobin
    server app-1 127.0.0.2:{back}
    server app-2 127.0.0.3:{back}
"""


def accept_for_ever(server: socket.socket, accepted: list[socket.socket]) -> None:
    while True:
        try:
            accepted.append(server.accept()[0])
        except OSError:
            return


@dataclass
class Running:
    """HAProxy with a master process, and the applications behind it."""

    folder: Path
    port: int
    servers: dict[str, socket.socket]
    process: subprocess.Popen[bytes]

    def script(self, text: str, stdin: str = "", says: str = "") -> list[str]:
        """What a script prints, run against this HAProxy's sockets.

        ``says`` is how its errors begin.
        """
        for path, name in (
            (ADMIN_SOCKET, "admin.sock"),
            (MASTER_SOCKET, "master.sock"),
        ):
            text = text.replace(str(path), str(self.folder / name))
        text = text.replace("systemctl -q is-active haproxy", ":")
        done = subprocess.run(
            ["/bin/sh", "-c", text],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr.startswith(says), done.stderr
        assert bool(done.stderr) == bool(says), done.stderr
        return done.stdout.splitlines()

    def balancing(self) -> Balancing:
        facts = BalancingFacts()
        return facts.process(self.script(facts.command()))

    def workers(self) -> int:
        """How many older workers there are."""
        lines = self.script(f"{ASKING}\nworkers")
        return sum(line.startswith("older ") for line in lines)

    def reload(self) -> None:
        before = self.workers()
        self.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: self.workers() == before + 1)
        wait_until(lambda: self.balancing().answers)

    def close(self, address: str) -> None:
        """Close an application node's streams, as a run does."""
        servers = self.balancing().with_streams(address)
        self.script(haproxy._CLOSE_SCRIPT, stdin=haproxy._to_close(servers))

    @contextmanager
    def not_accepting(self, address: str) -> Iterator[None]:
        """Have a node leave new connections half made, as one that is dead."""
        place = self.servers[address].getsockname()
        self.servers[address].shutdown(socket.SHUT_RDWR)
        with not_accepting(place):
            yield

    def connect(self, count: int) -> list[socket.socket]:
        streams = []
        for _ in range(count):
            stream = socket.create_connection(("127.0.0.1", self.port), 5)
            stream.settimeout(5)
            streams.append(stream)
        return streams

    def counted(self, address: str) -> dict[bool, int]:
        """Streams of an application node, in older workers and in the newest one."""
        found = {True: 0, False: 0}
        for server in self.balancing().with_streams(address):
            found[bool(server.worker)] += server.sessions
        return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    back, front = free_port(), free_port()
    addresses = ("127.0.0.2", "127.0.0.3")
    servers = {a: socket.create_server((a, back)) for a in addresses}
    accepted: list[socket.socket] = []
    for server in servers.values():
        threading.Thread(
            target=accept_for_ever, args=(server, accepted), daemon=True
        ).start()
    config = tmp_path / "haproxy.cfg"
    text = CONFIG.format(
        folder=tmp_path, front=front, back=back, connect=CONNECT_SECONDS
    )
    config.write_text(text)
    process = subprocess.Popen(
        ["haproxy", "-W", "-f", str(config), "-S", str(tmp_path / "master.sock")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = Running(tmp_path, front, servers, process)
    try:
        wait_until((tmp_path / "master.sock").exists)
        wait_until(lambda: found.balancing().answers)
        yield found
    finally:
        process.terminate()
        process.wait(10)
        for each in (*servers.values(), *accepted):
            each.close()


def is_open(stream: socket.socket) -> bool:
    stream.settimeout(0.05)
    try:
        return stream.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_streams_of_every_worker_are_counted(running: Running) -> None:
    streams = running.connect(4)
    wait_until(lambda: running.counted("127.0.0.2") == {True: 0, False: 2})
    running.reload()
    streams += running.connect(2)
    running.reload()
    streams += running.connect(2)
    wait_until(lambda: running.counted("127.0.0.2") == {True: 3, False: 1})
    assert len({s.worker for s in running.balancing().older if s.sessions}) == 2
    assert all(not server.serves for server in running.balancing().older)
    assert all(map(is_open, streams))


def test_streams_are_never_taken_for_none_while_haproxy_is_reloaded(
    running: Running,
) -> None:
    streams = running.connect(4)
    running.reload()
    found: list[tuple[bool, int]] = []
    for _ in range(4):
        running.process.send_signal(signal.SIGUSR2)
        for _ in range(6):
            balancing = running.balancing()
            found.append((balancing.answers, balancing.streams))
    assert {streams for answers, streams in found if answers} == {4}
    assert all(map(is_open, streams))


def test_master_that_is_silent_hides_no_streams(running: Running) -> None:
    running.connect(2)
    running.reload()
    assert running.balancing().answers
    (running.folder / "master.sock").rename(running.folder / "elsewhere.sock")
    facts = BalancingFacts()
    lines = running.script(facts.command(), says="HAProxy's master does not answer")
    assert not facts.process(lines).answers


def test_closing_a_node_s_streams_reaches_older_workers_and_no_other_node(
    running: Running,
) -> None:
    streams = running.connect(2 * AT_ONCE + 20)
    half = len(streams) // 2
    running.reload()
    wait_until(lambda: running.counted("127.0.0.2") == {True: half, False: 0})
    streams += running.connect(2 * AT_ONCE + 20)
    wait_until(lambda: running.counted("127.0.0.2") == {True: half, False: half})
    running.close("127.0.0.2")
    wait_until(lambda: running.counted("127.0.0.2") == {True: 0, False: 0})
    assert running.counted("127.0.0.3") == {True: half, False: half}
    assert sum(map(is_open, streams)) == 2 * half


@pytest.mark.parametrize("reloads", [False, True])
def test_client_that_is_being_connected_is_not_closed(
    running: Running, reloads: bool
) -> None:
    """HAProxy 3.0 never ends one that is, nor tells the client."""
    with running.not_accepting("127.0.0.2"):
        began = time.monotonic()
        streams = running.connect(2)
        wait_until(lambda: sum(running.counted("127.0.0.2").values()) == 1)
        if reloads:
            running.reload()
        running.close("127.0.0.2")
        assert running.counted("127.0.0.2") == {reloads: 1, not reloads: 0}
        assert all(map(is_open, streams))
        wait_until(lambda: sum(map(is_open, streams)) == 1)
        assert time.monotonic() - began > CONNECT_SECONDS


def test_older_worker_that_ends_meanwhile_is_no_error(running: Running) -> None:
    running.script(haproxy._CLOSE_SCRIPT, stdin="1 tcp_leastconn app-1\n")


def test_memory_of_every_worker_is_measured(running: Running) -> None:
    streams = running.connect(1)
    running.reload()
    facts = WorkersFacts()
    found = facts.process(running.script(facts.command()))
    assert found.newest
    assert 0 < found.newest.memory < 200
    assert found.available > 100
    (older,) = found.older
    assert (older.reloads, older.memory > 0) == (1, True)
    assert all(map(is_open, streams))
