"""What differs between two configurations, and why that needs a reload."""

import time
from typing import Any

import pytest

from portway.contract.paths import HAPROXY_CONFIG
from portway.contract.reloads import Kind, Reason
from portway.load_balancers.configuration import (
    ServerLine,
    binds,
    parse,
    reload_reason,
)
from portway.model.build import build_cluster
from portway.render.load_balancer import load_balancer
from tests.unit.samples import clients, settings, stack

CHECKS = "check port 8081 inter 2s fastinter 500ms downinter 1s fall 3 rise 2"
ONE = {"client_name": "one", "client_port": 9001}
TWO = {"client_name": "two", "client_port": 9002}


def text(*entries: dict[str, Any], app_nodes: int = 2, **changes: Any) -> str:
    cluster = build_cluster(
        stack(app_nodes), settings(**changes), clients(*(entries or (ONE,)))
    )
    lb = cluster.load_balancers[0]
    return load_balancer(cluster, lb).file(str(HAPROXY_CONFIG)).content


def reason(old: str, new: str) -> Reason | None:
    return reload_reason(parse(old), parse(new))


def test_server_has_the_options_of_default_server_and_its_own() -> None:
    entry = {**ONE, "app_port": 9100, "send_proxy": True}
    first = parse(text(entry)).servers[0]
    assert first == ServerLine(
        "tcp_leastconn_port-9100_proxy",
        "app-1",
        "10.60.0.15",
        9100,
        f"{CHECKS} send-proxy-v2",
    )
    assert first.place == "10.60.0.15:9100"
    assert first.is_checked
    assert first.weight == 1


def test_default_server_counts_for_what_follows_in_its_section() -> None:
    found = parse(
        "defaults\n  default-server check\nbackend a\n  server x 10.0.0.1\n"
        "  default-server weight 7\n  server y 10.0.0.2\nbackend b\n"
        "  server z 10.0.0.3\n"
    )
    assert [s.options for s in found.servers] == ["check", "check weight 7", "check"]
    assert [s.weight for s in found.servers] == [1, 7, 1]


def test_id_is_no_part_in_the_backend() -> None:
    sticky = parse(text({**ONE, "balance": "source"})).servers
    assert sticky[0].options != sticky[1].options
    assert sticky[0].part == sticky[1].part == CHECKS


def test_only_addresses_with_one_port_are_places() -> None:
    """A template may be somebody's own."""
    lines = (
        *("*:80", ":81,10.0.0.5:82", "[::1]:83", ":84 tcp-ut 90s"),
        *("/run/own.sock", "unix@/run/own.sock", ":8000-8010", "fd@3", "ipv4@:85"),
    )
    own = "frontend own\n" + "".join(f"    bind {line}\n" for line in lines)
    assert binds(parse(own)) == {
        *(("*", 80), ("", 81), ("10.0.0.5", 82), ("[::1]", 83), ("", 84))
    }


def test_servers_alone_need_no_reload() -> None:
    assert reason(text(), text(app_nodes=5)) is None
    assert reason(text(), text().replace("# Written by", "# By")) is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (text(), text(ONE, TWO), Reason(Kind.CLIENTS, "1 client added")),
        (text(ONE, TWO), text(), Reason(Kind.CLIENTS, "1 client removed")),
        (
            text(ONE, TWO),
            text({**ONE, "max_connections": 5}, {**TWO, "client_name": "three"}),
            Reason(Kind.CLIENTS, "1 client added, 1 client removed, 1 client changed"),
        ),
        (
            text(),
            text(idle_timeout=99),
            Reason(Kind.SETTINGS, "defaults changed (timeout client, timeout server)"),
        ),
        (
            text(),
            text(TWO, threads=3, health_interval=5),
            Reason(
                Kind.CLIENTS,
                "1 client added, 1 client removed, defaults changed (default-server), "
                "global changed (nbthread)",
            ),
        ),
        (
            text(),
            text(health_path="/up"),
            Reason(Kind.SETTINGS, "backend changed (http-check send)"),
        ),
        (
            text(),
            text().replace("stats refresh 10s", "stats refresh 9s"),
            Reason(Kind.SETTINGS, "frontend changed (stats refresh)"),
        ),
        (
            text(),
            text() + "\nbackend more\n    mode tcp\n",
            Reason(Kind.SETTINGS, "backends changed"),
        ),
    ],
)
def test_reason_says_what_changed(old: str, new: str, expected: Reason) -> None:
    assert reason(old, new) == expected


def test_ten_thousand_clients_are_compared_in_a_moment() -> None:
    entries = [
        {"client_name": f"client-{n}", "client_port": 10_000 + n} for n in range(10_000)
    ]
    old, new = text(*entries), text(*entries[:-3])
    began = time.process_time()
    assert reason(old, new) == Reason(Kind.CLIENTS, "3 clients removed")
    assert time.process_time() - began < 2
