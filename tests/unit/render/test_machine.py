"""Kernel settings of nodes, and what may restart their services."""

import subprocess
from pathlib import Path

import pytest

from portway.contract.paths import NEEDRESTART_CONFIG, SYSCTL_CONFIG
from portway.render.files import WantedNode
from portway.render.load_balancer import load_balancer
from portway.render.machine import LONGEST_SYSCTL, RESERVED_PORTS, reserved_ports
from tests.unit.application.test_pending import wanted
from tests.unit.samples import cluster


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


def balancer() -> WantedNode:
    found = cluster()
    return load_balancer(found, found.load_balancers[0])


def held_back(node: WantedNode, unit: str, tmp_path: Path) -> bool:
    """Whether needrestart would leave a unit alone, as its own Perl decides."""
    file = node.file(str(NEEDRESTART_CONFIG))
    path = tmp_path / "portway.conf"
    path.write_text(file.content)
    subprocess.run([*file.validate, path], check=True, capture_output=True)
    # The loop is needrestart's (3.6 to 3.11), which stops at the first that matches.
    program = """
        our %nrconf = (override_rc => { qr(^dbus) => 0 });
        do($ARGV[0]) // die $@;
        my $restart = 1;
        foreach my $re (keys %{$nrconf{override_rc}}) {
            next unless($ARGV[1] =~ /$re/);
            $restart = $nrconf{override_rc}->{$re};
            last;
        }
        print $restart;
    """
    said = subprocess.run(
        ["perl", "-e", program, path, unit], check=True, capture_output=True, text=True
    )
    return said.stdout == "0"


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("haproxy.service", True),
        ("haproxy", True),  # of a process outside of systemd's unit
        ("keepalived.service", True),
        ("haproxy-exporter.service", False),
        ("portway-streams.service", False),  # a deploy restarts these, too
        ("portway-check.service", False),
        ("portway-address.service", False),
        ("ssh.service", False),
    ],
)
def test_needrestart_leaves_alone_what_carries_streams(
    unit: str, expected: bool, tmp_path: Path
) -> None:
    assert held_back(balancer(), unit, tmp_path) is expected


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("gateway.service", True), ("gateway-2.service", False), ("ssh.service", False)],
)
def test_needrestart_leaves_the_application_alone(
    unit: str, expected: bool, tmp_path: Path
) -> None:
    assert held_back(wanted(app_name="gateway").node, unit, tmp_path) is expected
