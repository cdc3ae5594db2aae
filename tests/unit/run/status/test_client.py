"""Whether one client reaches us is told from all nodes."""

from dataclasses import replace

import pytest

from portway.errors import PortwayError
from portway.load_balancers.client_streams import ClientSeen, OpenStream
from portway.run.status.client import ClientReport, find_client, report_of
from portway.run.status.values import System
from tests.unit import samples
from tests.unit.run.status.systems import but, system

STREAM = OpenStream("198.51.100.7:1", "app-1", "4s", 77)


def report(found: System) -> ClientReport:
    frontend = find_client(found.cluster, "one")
    return report_of(found, frontend, {"lb-1": ClientSeen((STREAM,), ("line",))})


def test_client_that_is_served_is_told_with_all_that_is_known() -> None:
    entry = {"client_name": "one", "client_port": 9001, "allow": ["10.1.0.0/16"]}
    found = report(system(entry))
    assert found.exit_status == 0
    assert (found.state, found.nodes) == ("served", ("app-1", "app-2"))
    assert found.allow == ("10.1.0.0/16",)
    first, second = found.at
    assert (first.accepted, first.denied, first.connections) == (9, 1, 2)
    assert first.seen.streams == (STREAM,)
    assert second.seen == ClientSeen()


def test_port_that_the_security_groups_do_not_open_is_told() -> None:
    found = system()
    ports = replace(samples.stack().ports, first_client=9002)
    stack = replace(found.cluster.stack, ports=ports)
    closed = report(replace(found, cluster=replace(found.cluster, stack=stack)))
    assert not closed.is_port_opened
    assert closed.exit_status == 2


def test_node_that_is_silent_makes_the_answer_uncertain() -> None:
    found = report(but(system(), "app-1", problem="is away", application=None))
    assert found.missing == ("app-1: is away",)
    assert found.exit_status == 1


def test_name_that_no_client_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(PortwayError, match=r'no enabled client on\n.*"one"'):
        find_client(system().cluster, "on")
