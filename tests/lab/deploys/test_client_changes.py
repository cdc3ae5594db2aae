"""Changes of clients: the application and the load balancers, each in its turn."""

import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from tests.lab.conftest import deployed_as
from tests.lab.system import System, changes, output, stream

ONE = {"client_name": "client_one", "client_port": 9001}
TWO = {"client_name": "client_two", "client_port": 9002}
FEW = {"client_name": "client_few", "client_port": 9003}
WEB = {"client_name": "client_web", "client_port": 9004, "mode": "http"}
LATE = {"client_name": "late", "client_port": 9025}

RELOAD = ("--data", "app_reload_command=kill -HUP $MAINPID")
PROCESS = "systemctl show -p MainPID --value message-app"
LISTENING = "ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -nu"

PROBE = """
import socket, sys, time
served = failed = 0
while time.time() < float(sys.argv[3]):
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as probe:
            probe.settimeout(5)
            probe.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
            said = probe.recv(4096)
        good = b"app-" in said
    except OSError:
        good = False
    served, failed = served + good, failed + (not good)
    time.sleep(0.02)
print(served, failed)
"""
"""Asks one port in a way that both an HTTP and a TCP client's port answer."""


@pytest.fixture(scope="module")
def site(with_database: System) -> System:
    """A lab in which everything runs.

    Each of the tests deploys the clients that it begins with, and leaves others.
    """
    with deployed_as(with_database, "with clients of tests") as known:
        if not known:
            with_database.deploy(what="site")
    return with_database


class Clients:
    """A clients file, and runs that use it."""

    def __init__(self, system: System, path: Path) -> None:
        self._system = system
        self._path = path

    def deploy(
        self,
        *entries: dict[str, Any],
        what: str = "site",
        options: tuple[str, ...] = RELOAD,
        check: bool = True,
    ) -> Any:
        self._path.write_text(json.dumps({"clients": entries}))
        file = ("--data", f"clients_file={self._path}")
        return self._system.deploy("-y", *file, *options, what=what, check=check)


@pytest.fixture
def clients(site: System, clients_file: Path) -> Clients:
    return Clients(site, clients_file)


def processes(system: System) -> dict[str, str]:
    """The application's process on each node."""
    nodes = system.addresses("application")
    return {node: system.node(node, PROCESS).stdout for node in nodes}


def caught_up(last: Callable[[], int]) -> int:
    """The newest message of a stream, which was acknowledged while this waited."""
    while True:
        began = time.monotonic()
        number = last()
        if time.monotonic() - began > 0.01:
            return number


def listening(system: System, port: int) -> set[str]:
    """The nodes on which something listens on a port."""
    nodes = system.addresses("application")
    return {n for n in nodes if str(port) in system.node(n, LISTENING).stdout.split()}


def test_client_added_by_a_reload_drains_and_cuts_nothing(
    site: System, clients: Clients
) -> None:
    before = processes(site)
    with ExitStack() as streams:
        lasts = [streams.enter_context(stream(site, 9001)) for _ in range(4)]
        clients.deploy(ONE, TWO)
        assert processes(site) == before, "the new unit restarted the application"
        text = output(clients.deploy(ONE, TWO, LATE))
        for last in lasts:
            caught_up(last)
    assert "2 of 2 application nodes will be reloaded, without a drain" in text
    assert "ports in its configuration: 1 added" in text
    assert re.search(r"draining|closes \d+ streams", text) is None
    assert processes(site) == before
    assert site.answering_nodes(9025, 8) == {"app-1", "app-2"}
    assert changes(clients.deploy(ONE, TWO, LATE)) == 0


def test_every_field_is_changed_without_a_gap(site: System, clients: Clients) -> None:
    few = FEW | {"nodes": ["app-1", "app-2"]}
    clients.deploy(ONE, TWO, few, WEB)
    until = str(time.time() + 45)
    probe = (sys.executable, "-c", PROBE, site.address, "9004", until)
    with (
        site.started("client", "--", *probe) as probing,
        Load.start(Lab(site.name), site.address, (9001, 9002, 9003), pause=0.3) as load,
    ):
        load.wait_until_served()
        changed = clients.deploy(
            ONE | {"app_port": 10_001},
            TWO | {"app_port": 10_002, "send_proxy": True},
            FEW | {"nodes": ["app-2"]},
            WEB | {"app_port": 10_004, "mode": "tcp"},
        )
        load.wait_until_served(time.time())
        report = load.stop()
    assert changes(changed) > 0
    assert missing(Lab(site.name), report) == set()
    assert [client.longest_refusal for client in report.clients] == [0] * 20
    served, failed = map(int, probing.stdout.split())
    assert served > 100
    assert failed == 0
    assert site.ask(9004).startswith("app-")
    assert site.answering_nodes(9003, 4) == {"app-2"}
    for port in (9001, 9002, 9004):
        assert listening(site, port) == set(), port
        assert len(listening(site, port + 1000)) == 2
    assert listening(site, 9003) == {"app-2"}


def test_application_that_cannot_reload_is_changed_in_the_same_order(
    site: System, clients: Clients
) -> None:
    clients.deploy(ONE, TWO, options=())
    with Load.start(Lab(site.name), site.address, (9001, 9002), pause=0.3) as load:
        load.wait_until_served()
        text = output(clients.deploy(ONE | {"app_port": 10_001}, options=()))
        report = load.stop()
    assert "2 of 2 application nodes will be drained and restarted" in text
    assert "app_reload_command would spare the drains" in text
    assert missing(Lab(site.name), report) == set()
    # client_two was removed; client_one was served all the while.
    assert [client.longest_refusal for client in report.clients[::2]] == [0] * 10
    assert listening(site, 9001) == listening(site, 9002) == set()


def test_half_of_a_change_is_refused_and_names_the_other(
    site: System, clients: Clients
) -> None:
    clients.deploy(ONE, TWO)
    before = site.file_states()
    running = processes(site)
    alone = clients.deploy(ONE, LATE, what="lb", check=False)
    assert alone.returncode != 0
    assert "late: port 9025 of the application is not open on app-1" in output(alone)
    assert "run deploys/site.py" in output(alone)
    assert site.file_states() == before

    alone = clients.deploy(ONE, what="app", check=False)
    assert alone.returncode != 0
    still = r"app-[12]: client_two: the load balancers still send clients to port"
    assert re.search(still, output(alone))
    in_place = clients.deploy(ONE | {"send_proxy": True}, check=False)
    assert in_place.returncode != 0
    assert "give client_one another app_port in the same change" in output(in_place)
    assert processes(site) == running
    assert {site.ask(9001) != "", site.ask(9002) != ""} == {True}


def test_port_that_does_not_open_fails_the_run_and_the_next_one_mends_it(
    site: System, clients: Clients
) -> None:
    clients.deploy(ONE, TWO)
    state = "sha256sum /etc/message-app/* /run/portway/loaded/message-app"
    nodes = site.addresses("application")
    before = {node: site.node(node, state).stdout for node in nodes}
    program = 'import socket, time; s = socket.create_server(("127.0.0.1", 9025)); '
    blocker = f"systemd-run -q --collect --unit=blocker python3 -c '{program}"
    for node in site.addresses("application"):
        site.node(node, f"{blocker}time.sleep(999)'")
    short = (*RELOAD, "--data", "app_start_timeout=6")
    try:
        with stream(site, 9001) as last:
            failed = clients.deploy(ONE, TWO, LATE, options=short, check=False)
            caught_up(last)
    finally:
        for node in site.addresses("application"):
            site.node(node, "systemctl stop blocker")
    assert failed.returncode != 0
    assert "it does not listen on port 9025" in output(failed)
    assert "address already in use" in output(failed).lower(), "its journal"
    assert "goes on there with its previous configuration" in output(failed)
    assert {node: site.node(node, state).stdout for node in nodes} == before
    assert site.ask(9001) != ""
    clients.deploy(ONE, TWO, LATE)
    assert site.answering_nodes(9025, 8) == {"app-1", "app-2"}
