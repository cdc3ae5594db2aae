"""What a new HAProxy process is told of servers, and what is noted of reloads."""

import json
import os
import time
from pathlib import Path

import pytest

from portway.contract.reloads import BY_HAND, Kind, Reason
from portway.node.before_reload import (
    KEPT,
    keep_states,
    kept_states,
    note_reload,
    read,
    servers,
    take,
)


def row(
    backend: str,
    name: str,
    address: str,
    state: int = 2,
    *,
    admin: int = 0,
    port: int = 0,
) -> str:
    """A line as HAProxy 2.6 prints it."""
    return (
        f"3 {backend} 1 {name} {address} {state} {admin} 1 1 9 15 3 4 6 0 0 0 - "
        f"{port} - 0 8081 - - 8081"
    )


def fields(
    answer: list[str], wanted: dict[tuple[str, str], tuple[str, str]]
) -> list[tuple[str, ...]]:
    lines = [line.split() for line in kept_states(answer, wanted)]
    return [(w[1], w[3], w[4], w[5], w[6], w[18]) for w in lines]


def test_servers_are_read_from_a_configuration() -> None:
    text = """
global
    maxconn 10
backend one
    balance leastconn
    server app-1 10.0.0.1 check
    server app-2 10.0.0.2:9100 backup
frontend x
    server no 1
"""
    assert servers(text.splitlines()) == {
        ("one", "app-1"): ("10.0.0.1", "0"),
        ("one", "app-2"): ("10.0.0.2", "9100"),
    }


def test_drained_and_failed_servers_stay_what_they_are() -> None:
    answer = [row("b", "x", "10.0.0.1", 0), row("b", "y", "10.0.0.2", admin=8)]
    wanted = {("b", "x"): ("10.0.0.1", "0"), ("b", "y"): ("10.0.0.2", "0")}
    assert fields(answer, wanted) == [
        ("b", "x", "10.0.0.1", "0", "0", "0"),
        ("b", "y", "10.0.0.2", "2", "8", "0"),
    ]


def test_port_is_that_of_the_configuration_and_no_address_of_checks_is_kept() -> None:
    answer = [row("b", "x", "10.0.0.1", port=9100)]
    (line,) = kept_states(answer, {("b", "x"): ("10.0.0.1", "9200")})
    assert line.split()[18:] == ["9200", "-"]


def test_server_with_another_address_is_another_node() -> None:
    answer = [row("b", "x", "10.0.0.1", admin=8), row("b", "y", "10.0.0.2", 0)]
    wanted = {("b", "x"): ("10.0.0.2", "0"), ("b", "y"): ("10.0.0.3", "0")}
    assert fields(answer, wanted) == [("b", "x", "10.0.0.2", "0", "0", "0")]


def test_node_is_in_a_new_backend_what_it_is_in_others() -> None:
    answer = [row("a", "x", "10.0.0.1"), row("b", "x", "10.0.0.1", admin=8)]
    assert fields(answer, {("c", "x"): ("10.0.0.1", "0")}) == [
        ("c", "x", "10.0.0.1", "2", "8", "0")
    ]


def test_new_node_is_down_until_checked_if_others_serve() -> None:
    answer = [row("b", "x", "10.0.0.1", admin=8)]
    wanted = {("b", "x"): ("10.0.0.1", "0"), ("b", "new"): ("10.0.0.9", "0")}
    assert fields(answer, wanted)[1] == ("b", "new", "10.0.0.9", "0", "0", "0")
    assert fields(answer, {("b", "new"): ("10.0.0.9", "0")}) == []


def test_haproxy_that_does_not_answer_leaves_an_empty_file(tmp_path: Path) -> None:
    states = tmp_path / "states"
    states.write_text("1\nold\n")
    (tmp_path / "haproxy.cfg").write_text("backend b\n  server x 10.0.0.1\n")
    with pytest.raises(OSError, match="No such file"):
        keep_states(tmp_path / "none", tmp_path / "haproxy.cfg", states)
    assert states.read_text() == "1\n"


def note(folder: Path, reason: Reason | None = None) -> None:
    if reason:
        (folder / "reason").write_text(reason.to_json())
    note_reload(folder / "reason", folder / "var" / "reloads", folder / "x.prom")


def test_reloads_are_counted_by_reason_and_the_last_ones_are_remembered(
    tmp_path: Path,
) -> None:
    for number in range(KEPT + 5):
        note(tmp_path, Reason(Kind.CLIENTS, f"{number} clients added"))
    note(tmp_path)
    found = json.loads((tmp_path / "var" / "reloads").read_text())
    assert found["counts"] == {"clients": KEPT + 5, "by-hand": 1}
    assert len(found["last"]) == KEPT
    assert found["last"][-2]["reason"] == f"{KEPT + 4} clients added"
    assert found["last"][-1]["kind"] == "by-hand"
    metrics = (tmp_path / "x.prom").read_text()
    assert f'portway_haproxy_reloads_total{{reason="clients"}} {KEPT + 5}\n' in metrics
    assert 'portway_haproxy_reloads_total{reason="servers"} 0\n' in metrics


def test_reason_of_a_reload_that_was_never_made_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "reason"
    path.write_text(Reason(Kind.CLIENTS, "1 client added").to_json())
    old = time.time() - 100
    os.utime(path, (old, old))
    assert take(path) == BY_HAND
    assert not path.exists()
    assert take(path) == BY_HAND


def test_broken_memory_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "reloads"
    for text in ("", "[]", '{"counts": {"nonsense": 1}, "last": []}', "{"):
        path.write_text(text)
        assert read(path) == {"counts": {}, "last": []}
