"""The main job: a stack is made, one command makes its load balancers route."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.deploys.membership import terminate
from tests.lab.system import System, changes, commands, output, stream, wait_until

CLIENTS = {"client_one": 9001, "client_two": 9002, "client_two_orders": 9003}


def test_every_client_reaches_a_node_on_its_own_port(settled: System) -> None:
    for port in CLIENTS.values():
        name, seen = settled.ask(port).split(" ")
        assert name.startswith("app-")
        assert seen == str(port)


def test_http_client_reaches_a_node_on_its_own_port(settled: System) -> None:
    assert re.fullmatch(r"app-\d 9004", settled.ask(9004, mode="http"))


def test_connections_are_spread_over_the_nodes(settled: System) -> None:
    assert settled.answering_nodes(9001) == {"app-1", "app-2"}


def test_ordered_client_has_one_node(settled: System) -> None:
    assert len(settled.answering_nodes(9003)) == 1


def test_second_run_changes_nothing(settled: System) -> None:
    before = settled.file_states()
    second = settled.deploy()
    assert changes(second) == 0, output(second)
    assert re.search(
        r"lb-1 +no changes\s+lb-2 +no changes\s+exit status 0", output(second)
    )
    assert settled.file_states() == before


def test_second_run_in_production_changes_nothing(deployed: System) -> None:
    production = "inventories/prod.py"
    assert changes(deployed.deploy(inventory=production)) > 0, "its settings differ"
    assert changes(deployed.deploy(inventory=production)) == 0


def test_second_run_takes_few_commands(settled: System) -> None:
    result = settled.deploy("-y", "--debug")
    fewer, more = sorted(commands(result).values())
    # Two of the lease, one of what the node has and how it is doing; one of the two
    # also tries the clients.
    assert fewer == 3, output(result)
    assert more == 4, output(result)


def test_exactly_one_node_is_master_and_holds_the_address(settled: System) -> None:
    assert settled.masters() == [settled.holder]


def test_allow_list_admits_its_own_and_refuses_others(
    deployed: System, clients_file: Path
) -> None:
    inside, outside = deployed.status()["customers"][:2]
    entry = {"client_name": "vpn", "client_port": 9011, "allow": [f"{inside}/32"]}
    clients_file.write_text(json.dumps({"clients": [entry]}))
    deployed.deploy("-y", "--data", f"clients_file={clients_file}")
    assert deployed.ask(9011, source=inside).startswith("app-")
    assert deployed.ask(9011, source=outside) == ""


def test_thousand_clients_each_have_their_port(
    deployed: System, clients_file: Path
) -> None:
    entries = [
        {"client_name": f"client-{n}", "client_port": 9000 + n}
        | ({"mode": "http"} if n == 4 else {})  # as the application serves it
        for n in range(1, 1001)
    ]
    clients_file.write_text(json.dumps({"clients": entries}))
    deployed.deploy("-y", "--data", f"clients_file={clients_file}")
    for port in (9001, 9051, 10_000):
        name, seen = deployed.ask(port).split(" ")
        assert name.startswith("app-")
        assert seen == str(port)
    second = deployed.deploy("-y", "--data", f"clients_file={clients_file}")
    assert changes(second) == 0


def test_stopped_node_gets_no_connections_until_it_is_back(settled: System) -> None:
    settled.node("app-1", "systemctl stop message-app")
    try:
        wait_until(
            lambda: settled.answering_nodes(9001, 4) == {"app-2"}, 30, "only app-2"
        )
    finally:
        settled.node("app-1", "systemctl start message-app")
    wait_until(
        lambda: settled.answering_nodes(9001, 4) == {"app-1", "app-2"}, 30, "both"
    )


def test_node_that_says_it_is_unhealthy_gets_no_connections(settled: System) -> None:
    faults = "/etc/message-app/faults.json"
    settled.node("app-1", f"echo '{{\"health\": 426}}' >{faults}")
    try:
        wait_until(
            lambda: settled.answering_nodes(9001, 4) == {"app-2"}, 30, "only app-2"
        )
    finally:
        settled.node("app-1", f"rm {faults}")
    wait_until(
        lambda: settled.answering_nodes(9001, 4) == {"app-1", "app-2"}, 30, "both"
    )


def test_dry_run_shows_and_touches_nothing(settled: System, clients_file: Path) -> None:
    entry = {"client_name": "late", "client_port": 9025}
    clients_file.write_text(json.dumps({"clients": [entry]}))
    before = settled.file_states()
    data = ("--data", f"clients_file={clients_file}")
    text = output(settled.deploy("--dry", "--diff", *data))
    assert "+frontend late" in text
    assert "-frontend client_one" in text
    assert settled.file_states() == before
    plan = json.loads(settled.deploy("--dry", "--json", *data).stdout)
    changing = [
        step["name"] if "name" in step else step["names"]
        for step in plan["plan"]
        if step["hosts_with_change"]
    ]
    assert any("haproxy.cfg" in str(name) for name in changing)


def test_limit_touches_one_node_and_renders_the_whole_cluster(
    deployed: System, clients_file: Path
) -> None:
    entry = {"client_name": "late", "client_port": 9025}
    clients_file.write_text(json.dumps({"clients": [entry]}))
    holder, standby = deployed.holder, deployed.standby
    before = deployed.file_states()
    data = ("--data", f"clients_file={clients_file}")
    # The holder ahead of its standby is refused.
    refused = deployed.deploy("-y", "--limit", holder, *data, check=False)
    assert refused.returncode != 0
    assert f"change the standby first: --limit {standby}" in output(refused)
    assert deployed.file_states() == before

    deployed.deploy("-y", "--limit", standby, *data)
    after = deployed.file_states()
    assert after[holder] == before[holder]
    config = deployed.node(standby, "cat /etc/haproxy/haproxy.cfg").stdout
    assert "frontend late" in config
    assert "server app-2" in config
    peer = deployed.node(standby, "cat /etc/keepalived/keepalived.conf").stdout
    assert deployed.addresses("load-balancer")[holder] in peer

    deployed.deploy("-y", "--limit", holder, *data)
    assert deployed.ask(9025).startswith("app-")


@pytest.fixture
def two_nodes_again(deployed: System) -> Iterator[None]:
    """Without the third node when the test is over: the lab is other tests', too."""
    yield
    if "app-3" in deployed.nodes():
        terminate(deployed, "app-3")


@pytest.mark.usefixtures("two_nodes_again")
def test_new_application_node_changes_only_backends_and_cuts_no_stream(
    deployed: System, every_port: Path
) -> None:
    deployed.deploy()
    before = deployed.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout
    with stream(deployed, 9001) as last:
        deployed.up("--app-nodes", "3")
        deployed.deploy("-y", "--data", f"clients_file={every_port}", what="app")
        first_of_run = last()
        deployed.deploy()
        while last() < first_of_run + 50:
            pass
        wait_until(lambda: "app-3" in deployed.answering_nodes(9001), 30, "app-3")
        assert last() > first_of_run
    after = deployed.node("lb-1", "cat /etc/haproxy/haproxy.cfg").stdout
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert all(line.strip().startswith("server app-3 ") for line in added)
    assert set(before.splitlines()) <= set(after.splitlines())
