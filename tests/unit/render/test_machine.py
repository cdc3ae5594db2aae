"""Kernel settings of nodes."""

import pytest

from portway.contract.paths import SYSCTL_CONFIG
from portway.render.machine import LONGEST_SYSCTL, RESERVED_PORTS, reserved_ports
from tests.unit.application.test_pending import wanted


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([9001, 9002], "9001-9002"),
        ([8404, 9001, 8404], "8404,9001"),
        ([40001], "40001"),
        ([40003, 40001, 40002, 41000], "40001-40003,41000"),
    ],
)
def test_ports_are_reserved_wherever_they_are(ports: list[int], expected: str) -> None:
    assert reserved_ports(ports) == expected


def test_long_port_lists_are_widened_until_the_kernel_takes_them() -> None:
    text = reserved_ports(range(33_000, 65_000, 7))
    assert len(text) <= LONGEST_SYSCTL
    assert text.startswith("33000-")


ONE = {"client_name": "one", "client_port": 40_001, "app_port": 50_001}
OTHERS = {"client_name": "two", "client_port": 40_002, "nodes": ["app-2"]}


def test_application_nodes_reserve_what_they_listen_on_or_will() -> None:
    node = wanted(ONE, OTHERS).node
    assert node.sysctls == {RESERVED_PORTS: "8081,40002,50001"}
    content = node.file(str(SYSCTL_CONFIG)).content
    assert content.endswith(f"\n{RESERVED_PORTS} = 8081,40002,50001\n")
