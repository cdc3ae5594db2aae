"""What the check makes of HAProxy's answers, from a socket that behaves as it can."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portway.node.check.haproxy import Fault, Haproxy

INFO = "Name: HAProxy\nPid: 7\nStopping: 0\n\n"
HEAD = "# pxname,svname,qcur,status,act,bck,\n"
FRONTENDS = [
    "stats,FRONTEND,,OPEN,,,",
    "one,FRONTEND,,PAUSED,,,",
    "two,FRONTEND,,OPEN,,,",
]
EMPTY = "gone,BACKEND,0,UP,0,0,"
"""A backend without servers is up for HAProxy."""
DOWN = ["tcp_leastconn,app-1,0,DOWN,1,0,", "tcp_leastconn,BACKEND,0,DOWN,0,0,"]
BACKENDS = [
    EMPTY,
    *DOWN,
    "tcp_ordered,app-1,0,UP,0,1,",
    "tcp_ordered,BACKEND,0,UP,0,1,",
]

Say = Callable[[str], str | None]


def haproxy_says(
    frontends: list[str] = FRONTENDS, backends: list[str] = BACKENDS, info: str = INFO
) -> Say:
    """Answers as HAProxy does: one for each command, with an empty line after it."""

    def answer(command: str) -> str:
        if command == "show info":
            return info
        _, _, name, kind, _ = command.split()
        rows = frontends if kind == "1" else backends
        if name == "-1":
            return HEAD + "".join(f"{row}\n" for row in rows) + "\n"
        wanted = [row for row in rows if row.startswith((f"{name},F", f"{name},B"))]
        return HEAD + f"{wanted[0]}\n\n" if wanted else "No such proxy.\n\n"

    return lambda question: "".join(map(answer, question.strip().split(";")))


@contextmanager
def listening(path: Path, say: Say) -> Iterator[list[str]]:
    """Listens on a socket and answers each connection; None keeps silent."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        silent, asked = [], []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                asked.append(connection.recv(4096).decode())
                said = say(asked[-1])
                if said is None:
                    silent.append(connection)
                    continue
                with connection:
                    connection.sendall(said.encode())

        threading.Thread(target=serve, daemon=True).start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        for connection in silent:
            connection.close()
    path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


def test_one_frontend_and_one_backend_stand_for_all_while_they_are_fine(
    path: Path,
) -> None:
    haproxy = Haproxy(path, "stats", 0.8)
    with listening(path, haproxy_says()) as asked:
        assert haproxy.look(in_full=True).fault is None
        assert haproxy.look(in_full=True).fault is None
        assert haproxy.look(in_full=False).fault is None
    assert asked[1:] == [
        "show stat -1 6 -1\n",
        "show info;show stat two 1 -1;show stat tcp_ordered 2 -1\n",
        "show info\n",
    ] or asked[1:] == [
        "show stat -1 1 -1\n",
        "show stat -1 6 -1\n",
        "show info;show stat two 1 -1;show stat tcp_ordered 2 -1\n",
        "show info\n",
    ]


def test_others_are_looked_at_when_those_are_gone(path: Path) -> None:
    haproxy = Haproxy(path, "stats", 0.8)
    with listening(path, haproxy_says()):
        assert haproxy.look(in_full=True).fault is None
    other = haproxy_says(
        ["three,FRONTEND,,FULL,,,"], [EMPTY, "other,BACKEND,0,UP 1/2,2,0,"]
    )
    with listening(path, other):
        assert haproxy.look(in_full=True).fault is None


@pytest.mark.parametrize(
    ("say", "fault", "reason"),
    [
        (
            haproxy_says(info=INFO.replace("Stopping: 0", "Stopping: 1")),
            Fault.ENDING,
            "about to end",
        ),
        (haproxy_says(FRONTENDS[:2]), Fault.CLOSED, "accepts no client connections"),
        (haproxy_says(backends=DOWN), Fault.NO_SERVER, "no server is up"),
        (haproxy_says(backends=[EMPTY, *DOWN]), Fault.NO_SERVER, "no server is up"),
        (haproxy_says(backends=[EMPTY]), None, ""),
        (haproxy_says(backends=[*DOWN, "cut,BACKEND"]), Fault.NO_SERVER, "no server"),
        (lambda _: None, Fault.SILENT, "does not answer"),
        (lambda _: "", Fault.GONE, "was closed"),
    ],
)
def test_haproxy_that_is_of_no_use_is_told_from_one_that_serves(
    path: Path, say: Say, fault: Fault | None, reason: str
) -> None:
    started = time.monotonic()
    with listening(path, say):
        found = Haproxy(path, "stats", 0.3).look(in_full=True)
    assert found.fault is fault
    assert reason in found.reason
    assert time.monotonic() - started < 1


def test_haproxy_that_is_not_there_is_gone(path: Path) -> None:
    found = Haproxy(path, "stats", 0.8).look(in_full=False)
    assert found.fault is Fault.GONE
    assert "cannot be reached" in found.reason
