"""The check with a real HAProxy: what it finds, and what it costs."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portway.contract.check import CheckConfig
from portway.node.check.haproxy import Fault, Haproxy
from portway.node.check.judge import USUALLY

CLIENTS = 10_000
CPU = 5.0
"""Milliseconds a second that the check may cost, HAProxy's part with it."""

CONFIG = """
global
    stats socket {folder}/admin.sock mode 660 level admin
    maxconn 3000
    nbthread 2
defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
frontend stats
    mode http
    bind 127.0.0.1:{port}
    stats enable
backend tcp_down
    server app-1 127.0.0.1:1 check inter 100ms fall 1
backend tcp_leastconn
    server app-1 127.0.0.1:1
"""


@dataclass
class Running:
    """HAProxy with 10,000 clients, and its worker."""

    socket: Path
    worker: int

    def cpu(self) -> float:
        """Milliseconds that the worker has run for."""
        threads = Path(f"/proc/{self.worker}/task").glob("*/schedstat")
        return sum(int(file.read_text().split()[0]) for file in threads) / 1e6

    def say(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(command.encode() + b"\n")
            s.recv(100)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("check")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "haproxy.cfg"
    clients = "".join(
        f"frontend client-{n}\n    bind 127.9.{n // 250}.{1 + n % 250}:20000\n"
        "    default_backend tcp_leastconn\n"
        for n in range(CLIENTS)
    )
    # One without servers is up for HAProxy, and serves nobody.
    empty = "backend a_first\n    mode tcp\n"
    config.write_text(CONFIG.format(folder=folder, port=port) + empty + clients)
    process = subprocess.Popen(["haproxy", "-db", "-f", str(config)])
    deadline = time.monotonic() + 20
    try:
        haproxy = Haproxy(folder / "admin.sock", "stats", 5)
        while haproxy.look(in_full=False).fault:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Running(folder / "admin.sock", process.pid)
    finally:
        process.terminate()
        process.wait()


def test_check_costs_less_than_five_milliseconds_a_second(running: Running) -> None:
    haproxy = Haproxy(running.socket, "stats", 5)
    assert haproxy.look(in_full=True).fault is None
    seconds = 20
    looks = round(1 / USUALLY)
    theirs, ours = running.cpu(), time.process_time()
    for _ in range(seconds):
        for number in range(looks):
            assert haproxy.look(in_full=number == 0).fault is None
    cost = running.cpu() - theirs + 1000 * (time.process_time() - ours)
    assert cost / seconds < CPU


def test_frontend_that_stands_for_all_is_replaced_when_it_closes(
    running: Running,
) -> None:
    haproxy = Haproxy(running.socket, "stats", 5)
    assert haproxy.look(in_full=True).fault is None
    running.say("disable frontend client-0")
    assert haproxy.look(in_full=True).fault is None


def test_backends_without_a_server_that_is_up_are_told(running: Running) -> None:
    haproxy = Haproxy(running.socket, "stats", 5)
    running.say("set server tcp_leastconn/app-1 state maint")
    deadline = time.monotonic() + 10
    while haproxy.look(in_full=True).fault is not Fault.NO_SERVER:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.say("set server tcp_leastconn/app-1 state ready")
    assert haproxy.look(in_full=True).fault is None


def test_config_is_read_as_it_was_written() -> None:
    config = CheckConfig("203.0.113.9", "stats", 0, -20, 3.0, 4.0)
    assert CheckConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="not a config of the check"):
        CheckConfig.from_json("{}")
