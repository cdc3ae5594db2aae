"""The database deploy refuses what it cannot trust, and gives up in time."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lab.machines.certificates import Authority
from portway.database.admin import master_session
from portway.database.connections import ATTEMPTS, connect
from portway.database.state import POSTGRES
from portway.errors import PortwayError
from portway.ops.tunnel import Unreachable
from tests.integration.database.places import (
    HOST,
    MASTER,
    RunningServer,
)
from tests.integration.database.runs import look


def test_silent_server_is_given_up(
    rds: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in ("mysql", "postgres"):
        name = f"portway.database.{engine}.session.LOGIN_SECONDS"
        monkeypatch.setattr(name, 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        access = rds.new_place().access(
            open_stream=lambda: socket.create_connection(("127.0.0.1", port), 5)
        )
        started = time.monotonic()
        with pytest.raises(PortwayError, match="connection broke"):
            connect(access.server, access.read_master(), "x")
        assert time.monotonic() - started < 5


def test_port_that_refuses_is_tried_a_few_times_and_told(
    rds: RunningServer,
) -> None:
    place = rds.new_place()
    tried: list[int] = []

    def refuse() -> socket.socket:
        tried.append(1)
        raise Unreachable("app-1 does not reach the database")

    with pytest.raises(Unreachable):
        look(place, place.access(open_stream=refuse))
    assert len(tried) == ATTEMPTS


def test_certificate_of_another_authority_is_refused(
    rds: RunningServer, tmp_path: Path
) -> None:
    place = rds.new_place()
    authority = Authority(tmp_path / "another")
    authority.ensure()
    other = authority.file
    with pytest.raises(PortwayError) as refusal:
        look(place, place.access(ca_file=other))
    assert "its TLS certificate cannot be trusted" in refusal.value.message
    assert str(other) in refusal.value.message
    assert "database_ca_file" in refusal.value.message


def test_certificate_of_another_host_is_refused(rds: RunningServer) -> None:
    place = rds.new_place()
    with pytest.raises(PortwayError, match=f"{HOST}|Hostname mismatch"):
        look(place, place.access(address="other.test"))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authority_file_that_is_none_is_refused(
    rds: RunningServer, tmp_path: Path, content: str | None
) -> None:
    place, path = rds.new_place(), tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PortwayError, match=r"database_ca_file: .*ca\.pem cannot be"):
        look(place, place.access(ca_file=path))


@contextmanager
def impostor(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listener that answers each connection so; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_server_without_tls_is_sent_no_login(rds: RunningServer) -> None:
    received: list[bytes] = []

    def without_tls(connection: socket.socket) -> None:
        connection.settimeout(5)
        if rds.engine == POSTGRES:
            received.append(connection.recv(100))
            connection.sendall(b"N")
        else:
            greeting = (
                b"\x0a5.5.5-10.11.0-MariaDB\0"
                + bytes(4)
                + b"saltsalt\0"
                # Capabilities of today, but for TLS (0x0800).
                + b"\xfe\xf7\x2d\x02\x00\xff\x81\x15"
                + bytes(10)
                + b"saltsaltsalt\0mysql_native_password\0"
            )
            connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
        with suppress(OSError):
            received.append(connection.recv(1000))

    with impostor(without_tls) as port:
        place = rds.new_place()
        access = place.access(
            open_stream=lambda: socket.create_connection(("127.0.0.1", port), 5)
        )
        with pytest.raises(PortwayError, match="offers no TLS, so no password"):
            look(place, access)
        assert not any(MASTER.encode() in piece for piece in received)


def test_statement_that_takes_too_long_is_ended(rds: RunningServer) -> None:
    place = rds.new_place()
    sleep = "SELECT pg_sleep(60)" if rds.engine == POSTGRES else "SELECT sleep(60)"
    with (
        pytest.raises(PortwayError, match=r"statement timeout|connection broke"),
        master_session(place.access(), place.wanted.database, 0.5) as session,
    ):
        session.run(sleep, "sleeping")


def test_application_with_the_master_s_name_is_refused(rds: RunningServer) -> None:
    place = rds.new_place()
    place.wanted = replace(place.wanted, user=MASTER)
    with pytest.raises(PortwayError, match="names the master user portway"):
        look(place)
