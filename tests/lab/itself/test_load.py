"""The load of messages: what it says it was acknowledged is what the database has."""

import time
import uuid

import pytest

from lab.errors import LabError
from lab.plan.names import Lab
from lab.traffic.load import Load, missing
from tests.lab.system import System, wait_until

PORTS = (9001, 9002, 9003)


def test_every_acknowledged_message_is_stored(settled: System) -> None:
    lab = Lab(settled.name)
    with Load.start(lab, settled.address, PORTS, clients=5) as load:
        load.wait_until_served()
        load.wait_until_served(time.time())
        report = load.stop()
    assert len(report.clients) == 5
    assert all(client.ids for client in report.clients)
    assert missing(lab, report) == set()
    report.clients[0].ids.append("never-sent")
    assert missing(lab, report) == {"never-sent"}


def test_database_is_asked_for_many_messages_at_once(settled: System) -> None:
    lab = Lab(settled.name)
    with Load.start(lab, settled.address, PORTS, clients=1) as load:
        load.wait_until_served()
        report = load.stop()
    strangers = {str(uuid.uuid4()) for _ in range(50_000)}
    report.clients[0].ids.extend(strangers)
    assert missing(lab, report) == strangers


@pytest.mark.alone
def test_refused_message_is_sent_again_and_stored_once(settled: System) -> None:
    """The application stores a message and dies before it acknowledges it."""
    lab = Lab(settled.name)
    nodes = list(settled.addresses("application"))
    faults = "/etc/message-app/faults.json"
    with Load.start(lab, settled.address, PORTS, clients=5) as load:
        load.wait_until_served()
        for node in nodes:
            settled.node(node, f"echo '{{\"before_ack\": 1.5}}' >{faults}")
        time.sleep(1.2)  # longer than a client waits
        for node in nodes:
            settled.node(node, f"rm {faults}")
        load.wait_until_served(time.time())
        report = load.stop()
    assert report.resent >= 5
    assert missing(lab, report) == set()
    assert min(gap.seconds for gap in report.longest_gaps()) > 1


@pytest.mark.alone
def test_reset_connection_is_noticed_at_once(settled: System) -> None:
    lab = Lab(settled.name)
    ports = PORTS[:2]  # an ordered client waits for its stream keeper as well
    with Load.start(lab, settled.address, ports, clients=5) as load:
        load.wait_until_served()
        killed = time.time()
        settled.node(settled.holder, "systemctl kill -s KILL haproxy")
        load.wait_until_served(killed + 1)
        report = load.stop()
    # From there on it was refused, until the service manager had started HAProxy.
    for client, outage in zip(report.clients, report.outages(), strict=True):
        assert outage - client.longest_refusal < 0.5
    wait_until(lambda: settled.masters() == [settled.holder], 20, "one master")


def test_address_that_no_one_serves_is_told(settled: System) -> None:
    lab = Lab(settled.name)
    with Load.start(lab, "198.51.100.1", PORTS, clients=2) as load:
        with pytest.raises(LabError, match="2 of 2 clients were not acknowledged"):
            load.wait_until_served(seconds=2)
        assert load.stop().acknowledged == set()


def test_load_without_clients_is_refused(settled: System) -> None:
    with pytest.raises(LabError, match="needs a client"):
        Load.start(Lab(settled.name), settled.address, PORTS, clients=0)
