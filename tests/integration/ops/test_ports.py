"""What keeps HAProxy from listening on a port is named, and nothing else is."""

import os
import socket
import subprocess
from collections.abc import Iterable

from portway.ops.ports import Connection, TakenPorts, UnreachablePorts
from tests.integration.ports import free_ports


def said(script: str, stdin: str = "") -> list[str]:
    done = subprocess.run(
        ["sh", "-c", script], input=stdin, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def taken(ports: Iterable[int]) -> dict[int, Connection]:
    fact = TakenPorts()
    return fact.process(said(fact.command(ports)))


def test_outgoing_connection_on_a_port_is_named_with_its_program() -> None:
    free, _ = free_ports(2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = server.getsockname()
        port = 20_000 + os.getpid() % 10_000  # no other test's connection has it
        with socket.create_connection(peer, source_address=("", port)):
            found = taken([port, free])
    assert set(found) == {port}
    assert found[port].program.startswith("py")
    text = f" to 127.0.0.1:{peer[1]}"
    assert str(found[port]).startswith("an outgoing connection of py")
    assert str(found[port]).endswith(text)


def test_streams_accepted_on_a_port_do_not_keep_it_from_being_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            server.close()
            with accepted:
                assert taken([port]) == {}


def test_ports_that_no_address_accepts_are_found_with_the_reason() -> None:
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.3", 0)) as server:
        port = server.getsockname()[1]
        asked = f"one {port} 127.0.0.2 127.0.0.3\ntwo {free} 127.0.0.2 127.0.0.3\n"
        fact = UnreachablePorts()
        found = fact.process(said(fact.command(0.5), stdin=asked))
    assert found == {"two": "Connection refused"}
