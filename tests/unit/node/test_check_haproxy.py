"""keepalived's check, against a socket that behaves as HAProxy can."""

import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import portway

CHECK = Path(portway.__file__).parent / "node" / "check_haproxy.py"

INFO = "Name: HAProxy\nPid: 7\nStopping: 0\n\n"
HEAD = "# pxname,svname,qcur,status,\n"
GOOD = [
    "stats,FRONTEND,,OPEN,",
    "client_one,FRONTEND,,OPEN,",
    "client_two,FRONTEND,,PAUSED,",
    "tcp_leastconn,BACKEND,0,UP,",
    "tcp_ordered,BACKEND,0,DOWN,",
]


def answer(rows: list[str], info: str = INFO) -> str:
    return info + HEAD + "\n".join(rows) + "\n\n"


@contextmanager
def haproxy(path: Path, say: Callable[[], str | None]) -> Iterator[None]:
    """Listens on a socket and answers each connection; None keeps silent."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        silent = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(4096)
                said = say()
                if said is None:
                    silent.append(connection)
                    continue
                with connection:
                    connection.sendall(said.encode())

        threading.Thread(target=serve, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        for connection in silent:
            connection.close()
    path.unlink()


def check(path: Path) -> tuple[int, str, float]:
    """Status, words and seconds of the check, run as keepalived runs it."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-IS", CHECK, path, "stats"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return done.returncode, done.stderr, time.monotonic() - started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


def test_haproxy_that_serves_passes_and_is_watched_for_most_of_a_second(
    path: Path,
) -> None:
    asked = []

    def say() -> str:
        asked.append(1)
        return answer(GOOD)

    with haproxy(path, say):
        status, words, seconds = check(path)
    assert (status, words) == (0, "")
    assert len(asked) >= 3
    assert seconds < 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(GOOD, INFO.replace("Stopping: 0", "Stopping: 1")), "about to end"),
        (
            answer(["stats,FRONTEND,,OPEN,", "client_one,FRONTEND,,PAUSED,"]),
            "accepts no client connections",
        ),
        (
            answer([*GOOD[:2], "tcp_leastconn,BACKEND,0,DOWN,"]),
            "no server is up in any backend",
        ),
        (None, "does not answer"),
    ],
)
def test_haproxy_that_is_of_no_use_fails_within_a_second(
    path: Path, said: str | None, expected: str
) -> None:
    with haproxy(path, lambda: said):
        status, words, seconds = check(path)
    assert status == 1
    assert expected in words
    assert seconds < 1.5


def test_haproxy_that_is_not_there_fails(path: Path) -> None:
    status, words, seconds = check(path)
    assert status == 1
    assert "cannot be reached" in words
    assert 0.5 <= seconds < 1.5


def test_haproxy_that_is_started_anew_passes(path: Path) -> None:
    def start_late() -> None:
        time.sleep(0.3)
        with haproxy(path, lambda: answer(GOOD)):
            done.wait(5)

    done = threading.Event()
    starter = threading.Thread(target=start_late)
    starter.start()
    try:
        assert check(path)[:2] == (0, "")
    finally:
        done.set()
        starter.join()


def test_failure_while_it_is_watched_is_noticed_in_the_same_run(path: Path) -> None:
    begun = time.monotonic()

    def say() -> str | None:
        return answer(GOOD) if time.monotonic() - begun < 0.3 else None

    with haproxy(path, say):
        assert check(path)[0] == 1


def test_process_that_is_replaced_by_a_reload_passes(path: Path) -> None:
    asked: list[int] = []

    def say() -> str:
        asked.append(1)
        old = INFO.replace("Stopping: 0", "Stopping: 1")
        return answer(GOOD, old) if len(asked) == 2 else answer(GOOD)

    with haproxy(path, say):
        assert check(path)[:2] == (0, "")


def test_full_frontend_serves() -> None:
    problem_in = runpy.run_path(str(CHECK))["problem_in"]
    rows = ["client_one,FRONTEND,,FULL,", "tcp,BACKEND,0,UP,"]
    assert problem_in(answer(rows), "stats") == ""
