"""Where a load balancer sends its clients, read from what Portway writes for it."""

import subprocess
from pathlib import Path

import pytest

from portway.load_balancers.routes import FoundRoutes, RoutesFacts, routes_of
from portway.model.listeners import routes
from portway.render.load_balancer import load_balancer
from tests.unit.samples import cluster

CLIENTS = (
    {"client_name": "one", "client_port": 9001},
    {"client_name": "web", "client_port": 9004, "mode": "http"},
    {"client_name": "via", "client_port": 9005, "send_proxy": True, "app_port": 7005},
    {"client_name": "few", "client_port": 9006, "nodes": ["app-2"], "ordered": True},
)


def read(folder: Path, script: str) -> FoundRoutes:
    script = script.replace("/etc/haproxy", str(folder))
    script = script.replace("/run/portway/loaded", str(folder))
    # HAProxy runs, as far as the script can see.
    done = subprocess.run(
        ["sh", "-c", f"systemctl() {{ :; }}\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return RoutesFacts().process(done.stdout.splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = cluster(*CLIENTS)
    wanted = load_balancer(found, found.load_balancers[0])
    config = wanted.file("/etc/haproxy/haproxy.cfg")
    (tmp_path / "haproxy.cfg").write_text(config.content)
    (tmp_path / "haproxy").write_text(f"{config.sha256}  -\n")
    return tmp_path


def test_routes_of_a_configuration_are_those_of_its_cluster(folder: Path) -> None:
    found = read(folder, RoutesFacts().command())
    assert set(found.routes) == set(routes(cluster(*CLIENTS)))
    assert len(found.routes) == 7
    assert found.is_in_force
    assert routes_of((folder / "haproxy.cfg").read_text()) == found.routes


def test_configuration_that_is_not_loaded_is_told(folder: Path) -> None:
    (folder / "haproxy").write_text("another\n")
    assert not read(folder, RoutesFacts().command()).is_in_force


def test_node_without_a_configuration_has_no_routes(tmp_path: Path) -> None:
    assert read(tmp_path, RoutesFacts().command()) == FoundRoutes()
