"""Nodes are recognized by the host keys that EC2's console shows."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.system import PYINFRA, Result, System, output

INVENTORY = "inventories/lab.py"


@pytest.fixture
def known_hosts(trixie: System) -> Iterator[Path]:
    """The operator's known_hosts, empty, and afterwards as it was."""
    path = Path(trixie.status()["home"]) / ".ssh" / "known_hosts"
    before = path.read_text()
    path.write_text("")
    yield path
    path.write_text(before)


def connect(system: System, *options: str, check: bool = True) -> Result:
    """A run that does nothing but connect to all nodes."""
    words = (PYINFRA, INVENTORY, "fact", "server.Hostname", *options)
    return system.operator(*words, check=check)


def test_keys_that_hosts_print_are_those_that_they_show(
    trixie: System, known_hosts: Path
) -> None:
    refused = connect(trixie, check=False)
    assert refused.returncode != 0
    assert "no SSH host key is known for lb-1 (i-" in output(refused)

    connect(trixie, "--data", "trust_console_output=true")
    recorded = known_hosts.read_text()
    nodes = trixie.addresses("load-balancer") | trixie.addresses("application")
    assert len(recorded.splitlines()) == len(nodes)
    words = (sys.executable, "-m", "portway.cli.main", "trust", INVENTORY)
    assert trixie.operator(*words).stdout.count(": known\n") == len(nodes)
    assert known_hosts.read_text() == recorded
