"""Which addresses keepalived has given a node, as the kernel tells."""

import shlex
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]
SHOW = """
from portway.node.host import has_address
import sys
print(*map(has_address, sys.argv[1:]))
"""
NETWORK = """
ip link set lo up
ip link add ens5 type veth peer name elsewhere
ip address add 10.60.0.5/24 dev ens5
ip address add 10.60.0.100/32 dev ens5
ip address add 203.0.113.1/32 dev lo
for n in $(seq 1 200); do ip address add 198.51.100.$n/32 dev ens5; done
for n in $(seq 1 200); do ip address add 192.0.2.$n/32 dev lo; done
"""


def has(*addresses: str) -> list[str]:
    """What a node answers whose network is NETWORK."""
    show = shlex.join([sys.executable, "-c", SHOW, *addresses])
    words = ["unshare", "--net", "sh", "-ec", NETWORK + show]
    return subprocess.check_output(words, cwd=PROJECT, text=True).split()


def test_address_on_another_interface_was_not_given_by_keepalived() -> None:
    assert has("203.0.113.1", "192.0.2.200") == ["True", "True"]
    assert has("10.60.0.100", "10.60.0.5", "198.51.100.7") == ["False"] * 3
    assert has("203.0.113.10", "203.0.113.0", "3.0.113.1") == ["False"] * 3
