"""What the lab's vendor application promises: no message is acknowledged unstored."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import requests
from hl7.client import MLLPClient

from lab.traffic.streams import Streams
from lab.vendor import SQL
from portway.application.trial_message import trial_command
from portway.database.state import POSTGRES
from portway.model.listeners import Listener
from tests.integration.database.places import Place, RunningServer, sql_file
from tests.integration.database.runs import deploy
from tests.integration.lab.vendor_application import (
    Running,
    answer,
    message,
    running,
    wait_until,
)
from tests.integration.ports import free_port

ONE_ENGINE = pytest.mark.parametrize("rds", ["mariadb"], indirect=True)
"""For what does not depend on the database."""
PROXY_HEADER = b"\r\n\r\n\x00\r\nQUIT\n" + b"\x21\x11\x00\x0c" + bytes(12)


@pytest.fixture
def place(rds: RunningServer) -> Place:
    """A database that the database deploy made, with the vendor's own SQL file."""
    file = SQL[rds.engine] / "001_messages.sql"
    place = rds.new_place(files=(sql_file(file.name, file.read_text()),))
    deploy(place)
    return place


@pytest.fixture
def app(place: Place, tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, place) as application:
        yield application


def test_acknowledged_message_is_stored(app: Running) -> None:
    assert app.send("one") == ("AA", "one")
    assert app.stored() == ["one"]


def test_many_messages_over_many_connections_are_all_stored(app: Running) -> None:
    def client(number: int) -> None:
        with MLLPClient("127.0.0.1", app.tcp) as connection:
            for count in range(20):
                said = connection.send_message(message(f"{number}-{count}"))
                assert answer(said) == ("AA", f"{number}-{count}")

    threads = [threading.Thread(target=client, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app.stored()) == 200


def test_message_sent_again_is_stored_once(app: Running) -> None:
    assert app.send("one") == ("AA", "one")
    assert app.send("one") == ("AA", "one")
    assert app.stored() == ["one"]


def test_other_message_under_a_used_control_id_is_refused(app: Running) -> None:
    assert app.send("one", "PID|1") == ("AA", "one")
    assert app.send("one", "PID|2") == ("AR", "one")


@ONE_ENGINE
def test_what_is_not_hl7_is_refused(app: Running) -> None:
    with MLLPClient("127.0.0.1", app.tcp) as client:
        assert b"MSA|AR" in client.send_message("hello")


def send_in_background(app: Running, control_id: str) -> list[tuple[str, str]]:
    """Send a message; the list gets its answer if one ever comes."""
    answers: list[tuple[str, str]] = []

    def send() -> None:
        with MLLPClient("127.0.0.1", app.tcp) as client:
            client.socket.settimeout(20)
            try:
                received = client.send_message(message(control_id))
            except OSError:
                return
            if received:
                answers.append(answer(received))

    threading.Thread(target=send).start()
    return answers


def test_killed_between_commit_and_acknowledgement_it_has_the_message(
    app: Running,
) -> None:
    app.faults('{"before_ack": 30}')
    answers = send_in_background(app, "one")
    wait_until(lambda: app.stored() == ["one"])
    app.kill()
    assert answers == []
    app.faults("{}")
    app.start()
    assert app.send("one") == ("AA", "one")
    assert app.stored() == ["one"]


@pytest.mark.parametrize(
    ("moment", "kept"), [("before_commit", []), ("before_ack", ["one"])]
)
def test_crash_acknowledges_nothing_and_keeps_what_was_committed(
    app: Running, moment: str, kept: list[str]
) -> None:
    app.faults(f'{{"crash": "{moment}"}}')
    answers = send_in_background(app, "one")
    assert app.process
    app.process.wait(20)
    assert answers == []
    assert app.stored() == kept


def test_database_that_is_gone_means_no_acknowledgement_and_no_health(
    app: Running,
) -> None:
    assert app.send("one") == ("AA", "one")
    app.close_way()
    assert app.send("two") == ("AE", "two")
    wait_until(lambda: app.status() == 503)
    app.open_way()
    wait_until(lambda: app.status() == 200)
    assert app.send("two") == ("AA", "two")
    assert app.stored() == ["one", "two"]


@ONE_ENGINE
def test_told_to_stop_it_finishes_what_it_has_in_hand(app: Running) -> None:
    app.faults('{"before_commit": 2}')
    idle = socket.create_connection(("127.0.0.1", app.tcp))
    answers = send_in_background(app, "one")
    time.sleep(0.5)
    assert app.stop() == 0
    wait_until(lambda: answers == [("AA", "one")])
    assert app.stored() == ["one"]
    assert idle.recv(1) == b""
    idle.close()


@ONE_ENGINE
def test_slow_start_listens_only_when_it_is_over(app: Running) -> None:
    assert app.stop() == 0
    app.faults('{"start_delay": 2}')
    began = time.monotonic()
    app.start()
    assert time.monotonic() - began >= 2


@ONE_ENGINE
def test_reload_opens_and_closes_ports_and_cuts_no_other_stream(app: Running) -> None:
    with MLLPClient("127.0.0.1", app.tcp) as stays:
        assert answer(stays.send_message(message("one"))) == ("AA", "one")
        leaves = socket.create_connection(("127.0.0.1", app.proxied))
        leaves.sendall(PROXY_HEADER)
        config = app.folder / "app.conf"
        late, text = free_port(), config.read_text()
        added = f"[client late]\nport = {late}\nmode = tcp\nproxy = no\n"
        removed = text.index(f"[client client-{app.proxied}]")
        config.write_text(text[:removed] + added)
        assert app.process
        app.process.send_signal(signal.SIGHUP)
        assert leaves.recv(1) == b"", "the stream on the removed port ends"
        leaves.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", app.proxied), 5)
        wait_until(lambda: accepts(late))
        with MLLPClient("127.0.0.1", late) as new:
            assert answer(new.send_message(message("two"))) == ("AA", "two")
        assert answer(stays.send_message(message("three"))) == ("AA", "three")
    config.write_text("[nonsense")
    app.process.send_signal(signal.SIGHUP)
    assert app.send("four") == ("AA", "four")
    assert app.stored() == ["four", "one", "three", "two"]


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def has_status(app: Running, status: int) -> bool:
    return app.status() == status


def test_reload_takes_over_the_database(app: Running) -> None:
    config = app.folder / "app.conf"
    assert app.process
    for password, status in (("wrong", 503), (app.password, 200)):
        text = config.read_text()
        before = next(i for i in text.splitlines() if i.startswith("password = "))
        config.write_text(text.replace(before, f"password = {password}"))
        app.process.send_signal(signal.SIGHUP)
        wait_until(partial(has_status, app, status))
    assert app.send("one") == ("AA", "one")


def test_told_to_reconnect_it_logs_in_for_each_message(app: Running) -> None:
    assert app.send("one") == ("AA", "one")
    server, user = app.place.server, app.place.wanted.user
    on_postgres = server.engine == POSTGRES
    server.ask(
        f"ALTER ROLE {user} NOLOGIN"
        if on_postgres
        else f"ALTER USER {user}@'%' ACCOUNT LOCK"
    )
    # A thread that has not had any yet may take a message, and must log in.
    assert "AA" in {app.send(f"two-{number}")[0] for number in range(8)}
    app.faults('{"reconnect": true}')
    ids = map(str, count())
    wait_until(lambda: {app.send(next(ids))[0] for _ in range(8)} == {"AE"})


def test_told_to_refuse_it_stores_nothing(app: Running) -> None:
    app.faults('{"refuse": true}')
    assert app.send("one") == ("AE", "one")
    assert app.stored() == []


@ONE_ENGINE
def test_http_client_gets_its_acknowledgement_in_the_answer(app: Running) -> None:
    url = f"http://127.0.0.1:{app.web}/messages"
    with requests.Session() as session:
        for control_id in ("one", "two"):
            said = session.post(url, data=message(control_id).encode(), timeout=10)
            assert said.status_code == 200
            assert answer(said.content) == ("AA", control_id)
        assert session.post(url, data=b"hello", timeout=10).status_code == 400
        app.close_way()
        said = session.post(url, data=message("three").encode(), timeout=20)
        assert said.status_code == 503
    assert app.stored() == ["one", "two"]


@ONE_ENGINE
def test_proxy_header_is_read_over(app: Running) -> None:
    with MLLPClient("127.0.0.1", app.proxied) as client:
        client.socket.sendall(PROXY_HEADER)
        assert answer(client.send_message(message("one"))) == ("AA", "one")


@ONE_ENGINE
def test_broken_release_fails_its_health_check_and_nothing_else(
    place: Place, tmp_path: Path
) -> None:
    with running(tmp_path, place, "2.0.1") as app:
        wait_until(lambda: app.status() == 503)
        assert app.send("one") == ("AA", "one")


@ONE_ENGINE
def test_test_message_succeeds_only_if_it_is_acknowledged(app: Running) -> None:
    release = app.folder / "message-app-1.0.0"
    (app.folder / "current").symlink_to(release)
    ports = (
        Listener("proxied", app.proxied, "tcp", True),
        Listener("web", app.web, "http", False),
        Listener("plain", app.tcp, "tcp", False),
    )
    command = trial_command("bin/send-test --port {port}", ports, str(app.folder))
    assert command
    assert subprocess.run(command.split(), check=False).returncode == 0
    wrong = command.replace(str(app.tcp), str(app.proxied))
    assert subprocess.run(wrong.split(), check=False).returncode != 0
    app.faults('{"refuse": true}')
    assert subprocess.run(command.split(), check=False).returncode != 0


def test_password_is_in_no_output(app: Running) -> None:
    app.close_way()
    app.send("one")
    app.stop()
    assert app.process
    assert app.process.stdout
    assert app.password not in app.process.stdout.read()


@ONE_ENGINE
def test_held_clients_tell_what_became_of_their_connections(app: Running) -> None:
    """Each kind of client of ``lab.traffic.held``, until the application stops."""
    words = [sys.executable, "-m", "lab.traffic.held", "127.0.0.1"]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout

    def tell(text: str) -> None:
        assert process.stdin
        process.stdin.write(text)
        process.stdin.flush()

    seen = Streams()
    for kind, pause in (("busy", 0.2), ("idle", 0), ("slow", 1), ("probe", 0.1)):
        tell(f"open {kind} {app.tcp} {kind} {pause}\n")
    while [a.client for a in seen.answers].count("slow") < 2:
        seen.read([process.stdout.readline().strip()])
    app.faults('{"before_ack": 60}')
    tell(f"open cut {app.tcp} busy 9\nclose probe\n")
    wait_until(lambda: len(app.stored()) > len(seen.answers))
    app.kill()
    process.stdin.close()
    seen.read(process.stdout.read().splitlines())
    assert process.wait(10) == 0
    last = {stream.client: stream for stream in seen.streams if stream.answers}
    assert last["busy"].was_cut
    assert (last["idle"].answers, last["idle"].how) == (1, "closed")
    assert not last["idle"].in_flight
    assert last["slow"].was_cut
    assert last["slow"].in_flight
    assert last["probe"].how == "hung-up"
    assert [s.answers for s in seen.streams if s.client == "probe"][:3] == [1, 1, 1]
    (cut,) = [s for s in seen.streams if s.client == "cut" and s.was_cut]
    assert (cut.answers, cut.in_flight) == (0, True)
    assert {a.id for a in seen.answers} <= set(app.stored())
