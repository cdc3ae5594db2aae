"""What keeps HAProxy from listening on a port is named, and nothing else is."""

import os
import socket
import subprocess
from collections.abc import Iterable
from contextlib import ExitStack

from portway.ops.ports import TakenPorts, Taker, UnreachablePorts
from tests.integration.ports import free_ports


def said(script: str, stdin: str = "") -> list[str]:
    done = subprocess.run(
        ["sh", "-c", script], input=stdin, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def taken(ports: Iterable[int], address: str = "") -> dict[int, Taker]:
    fact = TakenPorts()
    return fact.process(said(fact.command([(address, port) for port in ports])))


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


def test_connection_that_is_only_being_made_takes_its_port() -> None:
    """It waits for an answer, and nothing that listens shows it."""
    (port,) = free_ports(1)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        ExitStack() as all_,
    ):
        full = server.getsockname()
        for _ in range(2):  # what the kernel still accepts
            waiting = all_.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full)
        last = all_.enter_context(socket.socket())
        last.bind(("", port))
        last.setblocking(False)
        last.connect_ex(full)
        state = said(f"ss -Htan sport = :{port}")[0].split()[0]
        found = taken([port])
    assert state == "SYN-SENT"
    assert str(found[port]).endswith(f" to 127.0.0.1:{full[1]}")


def test_port_that_is_only_bound_is_taken() -> None:
    with socket.socket() as bound:
        bound.bind(("", 0))
        port = bound.getsockname()[1]
        assert taken([port]) == {port: Taker()}
    assert "a program that has bound it" in str(Taker())


def test_listening_program_is_named_where_its_address_is_in_the_way() -> None:
    with socket.create_server(("127.0.0.3", 0)) as server:
        port = server.getsockname()[1]
        (found,) = taken([port]).values()
        assert str(found).startswith("py")
        assert str(found).endswith(", which listens there,")
        assert taken([port], "127.0.0.3") == {port: found}
        assert taken([port], "127.0.0.2") == {}


def test_address_that_the_node_does_not_have_says_nothing_of_the_port() -> None:
    assert taken([free_ports(1)[0]], "192.0.2.1") == {}


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
