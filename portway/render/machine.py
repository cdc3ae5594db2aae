"""What Portway asks of a node's system, whatever the node's role."""

from collections.abc import Iterable

from portway.contract import paths
from portway.render.files import ManagedFile
from portway.render.templates import render

RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
LONGEST_SYSCTL = 4_000
"""Characters: the kernel reads one page of such a list."""


def sysctl_file(reserved: str, retries: int | None = None) -> ManagedFile:
    """The file that keeps kernel settings over a reboot."""
    content = render("sysctl.conf.j2", reserved=reserved, retries=retries)
    return ManagedFile(str(paths.SYSCTL_CONFIG), content, "644")


def reserved_ports(ports: Iterable[int]) -> str:
    """The ports as the kernel prints the list, whatever its range of ephemeral ports.

    If the list would be longer than the kernel takes, small gaps are reserved as well.
    """
    all_ports = sorted(set(ports))
    gap = 1
    while True:
        ranges: list[list[int]] = []
        for port in all_ports:
            if ranges and port - ranges[-1][1] <= gap:
                ranges[-1][1] = port
            else:
                ranges.append([port, port])
        text = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
        if len(text) <= LONGEST_SYSCTL:
            return text
        gap *= 2


def needrestart_file(*units: str) -> ManagedFile:
    """Keeps needrestart from restarting units when a library was upgraded.

    A node without needrestart has it as well: somebody may install it tomorrow.
    """
    return ManagedFile(
        str(paths.NEEDRESTART_CONFIG),
        render("needrestart.conf.j2", units=units),
        "644",
        validate=("perl", "-c"),
    )
