"""What clients noticed, counted from what came of each message."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from acceptance.plan.options import EXPECT, MESSAGE, unescaped
from acceptance.programs.sender import PROGRAM, Event, measured


def acknowledged(*times: float) -> list[Event]:
    return [Event(at, at, ok=True) for at in times]


def test_steady_traffic_has_no_gap() -> None:
    traffic = measured(acknowledged(1.0, 1.2, 1.4, 1.6), 1.0, 1.7)
    assert (traffic.acknowledged, traffic.failed) == (4, 0)
    assert traffic.longest_gap == pytest.approx(0.2)
    assert traffic.served_again is None


def test_gap_is_counted_from_the_last_one_served_and_the_fault() -> None:
    events = [
        *acknowledged(9.0, 9.9, 14.5, 14.7),
        Event(12.0, 10.0, ok=False, error="x"),
    ]
    traffic = measured(events, 10.0, 15.0)
    assert traffic.longest_gap == pytest.approx(4.6)
    assert traffic.served_again == pytest.approx(4.5)
    assert traffic.errors == ("x",)


def test_nobody_served_again_is_no_time() -> None:
    traffic = measured(acknowledged(1.0), 2.0, 30.0)
    assert traffic.acknowledged == 0
    assert traffic.served_again is None
    assert traffic.longest_gap == pytest.approx(29.0)


@pytest.fixture
def server() -> Iterator[int]:
    """Answers messages as the vendor's application does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                connection.sendall(b"\x0bMSH|...\rMSA|AA|1|x\r\x1c\r")

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def sent(port: int, seconds: float) -> list[dict[str, str]]:
    """What the program says, given on its input as it is where clients are."""
    wanted = {
        "address": "127.0.0.1",
        "port": port,
        "message": MESSAGE,
        "expect": EXPECT,
        "pause": 0.05,
        "connect_seconds": 1,
        "answer_seconds": 1,
        "at_once": 10,
        "seconds": seconds,
    }
    text = f"{PROGRAM.read_text()}\nmain(json.loads({json.dumps(wanted)!r}))\n"
    done = subprocess.run(
        [sys.executable, "-I", "-"],
        input=text.encode(),
        capture_output=True,
        timeout=30,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_program_tells_of_every_message_that_is_acknowledged(server: int) -> None:
    events = [line["event"] for line in sent(server, 0.6)]
    assert events[0] == "started"
    assert events.count("acknowledged") > 5
    assert "failed" not in events


def test_program_tells_of_every_message_that_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    lines = [line for line in sent(port, 0.4) if line["event"] == "failed"]
    assert lines
    assert "ConnectionRefusedError" in lines[0]["error"]


def test_message_is_typed_with_escapes() -> None:
    assert unescaped(r"\x0bMSH|^~\\&|\r") == "\x0bMSH|^~\\&|\r"
