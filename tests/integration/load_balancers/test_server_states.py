"""What is known of servers survives a reload, and nothing stale comes back with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from portway.load_balancers.server_changes import ServerChange
from tests.integration.load_balancers.haproxy_process import (
    NODE,
    Application,
    Haproxy,
    Nodes,
    Stream,
    applications,
    wait_until,
)
from tests.integration.ports import free_port

PLAIN, OTHER = free_port(), free_port()
CLIENTS = ({"client_name": "plain", "client_port": PLAIN},)
WITH_OTHER = (
    *CLIENTS,
    {"client_name": "other", "client_port": OTHER, "balance": "random"},
)
THREE: Nodes = {"app-1": 1, "app-2": 2, "app-3": 3}
SERVER = "tcp_leastconn/app-{}"


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    found = Haproxy(tmp_path, CLIENTS)
    yield found
    found.stop()


@pytest.fixture
def nodes(haproxy: Haproxy) -> Iterator[dict[str, Application]]:
    yield from applications(haproxy, range(1, 5), [PLAIN, OTHER])


def command(haproxy: Haproxy, text: str) -> list[str]:
    socket = haproxy.folder / "admin.sock"
    return haproxy.shell(f'echo "{text}" | socat -t5 - UNIX-CONNECT:{socket}')


def answering(port: int, tries: int = 12) -> set[str]:
    return {Stream(port).node for _ in range(tries)}


def test_drained_and_failed_servers_get_nothing_from_the_new_process(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(THREE)
    command(haproxy, f"set server {SERVER.format(1)} state drain")
    nodes[NODE.format(2)].healthy = False
    wait_until(lambda: not haproxy.servers()[SERVER.format(2)].is_up)
    haproxy.reload()
    assert answering(PLAIN) == {NODE.format(3)}
    haproxy.deploy(THREE, clients=WITH_OTHER)
    assert answering(PLAIN) == {NODE.format(3)}
    assert answering(OTHER) == {NODE.format(3)}, "a new backend has the same nodes"
    nodes[NODE.format(2)].healthy = True
    command(haproxy, f"set server {SERVER.format(1)} state ready")
    wait_until(lambda: len(answering(PLAIN)) == 3)


def test_maintenance_survives_a_reload(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(THREE)
    command(haproxy, f"set server {SERVER.format(1)} state maint")
    haproxy.reload()
    assert haproxy.servers()[SERVER.format(1)].is_drained
    assert NODE.format(1) not in answering(PLAIN)


def test_server_with_another_address_or_port_starts_anew(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(THREE)
    command(haproxy, f"set server {SERVER.format(1)} state drain")
    command(haproxy, f"set server {SERVER.format(2)} addr {NODE.format(4)} port 1")
    haproxy.config.write_text(haproxy.rendered({**THREE, "app-1": 4}))
    haproxy.reload()
    servers = haproxy.servers()
    assert {s.name: (s.address, s.port) for s in servers.values()} == {
        f"app-{name}": (NODE.format(n), 0) for name, n in ((1, 4), (2, 2), (3, 3))
    }
    assert not servers[SERVER.format(1)].is_drained
    wait_until(lambda: answering(PLAIN) == {NODE.format(n) for n in (2, 3, 4)})


def test_new_node_gets_nothing_before_its_checks(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    nodes[NODE.format(4)].healthy = False
    haproxy.start(THREE)
    haproxy.deploy({**THREE, "app-4": 4}, idle_timeout=1000)
    assert haproxy.reloads() == 1
    assert answering(PLAIN) == {NODE.format(n) for n in (1, 2, 3)}
    nodes[NODE.format(4)].healthy = True
    wait_until(lambda: NODE.format(4) in answering(PLAIN))


def test_servers_that_were_added_survive(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start({"app-1": 1})
    assert isinstance(haproxy.deploy(THREE), ServerChange)
    before = haproxy.servers()
    haproxy.reload()
    assert haproxy.servers().keys() == before.keys()
    assert answering(PLAIN) == {NODE.format(n) for n in (1, 2, 3)}


def test_every_reload_is_counted_with_its_reason(
    haproxy: Haproxy, nodes: dict[str, Application]
) -> None:
    haproxy.start(THREE)
    haproxy.deploy(THREE, clients=WITH_OTHER)
    haproxy.reload()
    (haproxy.folder / "loaded" / "haproxy").unlink()
    (haproxy.folder / "loaded" / "haproxy.cfg").unlink()
    haproxy.deploy(THREE, clients=WITH_OTHER)
    noted = json.loads((haproxy.folder / "reloads").read_text())
    assert noted["counts"] == {"clients": 1, "by-hand": 1, "unknown": 1}
    assert noted["last"][0]["reason"] == "1 client added"
    metrics = (haproxy.folder / "metrics.prom").read_text()
    assert 'portway_haproxy_reloads_total{reason="clients"} 1\n' in metrics
    assert 'portway_haproxy_reloads_total{reason="settings"} 0\n' in metrics
