"""Text from a Cluster and one node of it: every file that a node gets.

Pure but for reading ``templates/``. Layout is the templates' business; a template that
needs a decision finds it made in the Cluster.
"""

from pathlib import Path
from typing import Any

from portway.changes import LOADED_FOLDER, ManagedFile, Service, WantedNode
from portway.cluster import STATS_FRONTEND, Cluster, LoadBalancer
from portway.node.address.config import FIFO, TRANSFER
from portway.render_address import ADDRESS_MOVER, address_files
from portway.templates import render

HAPROXY_CONFIG = "/etc/haproxy/haproxy.cfg"
KEEPALIVED_CONFIG = "/etc/keepalived/keepalived.conf"
CHECK_SCRIPT = "/usr/local/lib/portway/check-haproxy"
ADMIN_SOCKET = "/run/haproxy/admin.sock"
HAPROXY_WORKER = (
    f'echo "show info" | timeout 2 socat - UNIX-CONNECT:{ADMIN_SOCKET} 2>/dev/null '
    "| sed -n 's/^Pid: //p'"
)

DESCRIPTORS = 1_048_576
"""Enough for 10,000 listeners and 500,000 connections with two sockets each; the
kernel's own ceiling (fs.nr_open). It costs nothing until it is used."""

CHECK_SOURCE = Path(__file__).parent / "node" / "check_haproxy.py"

HAPROXY = Service(
    "haproxy",
    HAPROXY_CONFIG,
    "/etc/systemd/system/haproxy.service.d/portway.conf",
    HAPROXY_WORKER,
    replaced_by_reload=True,
    # A process that was started before its unit had the limit gets it without a
    # restart, which would cut every stream.
    before_reload="prlimit --nofile={0}:{0} --pid {1} 2>/dev/null".format(
        DESCRIPTORS, "$(systemctl show -p MainPID --value haproxy)"
    ),
)
KEEPALIVED = Service(
    "keepalived",
    KEEPALIVED_CONFIG,
    "/etc/systemd/system/keepalived.service.d/portway.conf",
    "systemctl show -p MainPID --value keepalived",
    replaced_by_reload=False,
)

FIRST_EPHEMERAL_PORT = 32_768
LONGEST_SYSCTL = 4_000
"""Characters: the kernel reads one page of such a list."""


def load_balancer(cluster: Cluster, lb: LoadBalancer, interface: str) -> WantedNode:
    """Everything that one load balancer should be.

    ``interface`` is the device that carries the node's address, which only the node
    itself knows.
    """
    context = {
        "cluster": cluster,
        "settings": cluster.settings,
        "ports": cluster.stack.ports,
        "lb": lb,
        "interface": interface,
        "admin_socket": ADMIN_SOCKET,
        "stats_frontend": STATS_FRONTEND,
        "check_script": CHECK_SCRIPT,
        "fifo": FIFO,
        "transfer": TRANSFER,
    }
    reserved = reserved_ports(frontend.port for frontend in cluster.frontends)
    return WantedNode(
        packages=("haproxy", "keepalived", "python3-boto3", "socat"),
        files=(
            ManagedFile(
                HAPROXY_CONFIG,
                render("haproxy.cfg.j2", **context),
                validate=("haproxy", "-c", "-f"),
            ),
            ManagedFile(CHECK_SCRIPT, CHECK_SOURCE.read_text(), "755"),
            *address_files(cluster, lb),
            ManagedFile(
                KEEPALIVED_CONFIG,
                render("keepalived.conf.j2", **context),
                validate=("keepalived", "-t", "-f"),
            ),
            _unit_override(HAPROXY, 200, descriptors=DESCRIPTORS),
            _unit_override(KEEPALIVED, 500, fifo=FIFO),
            ManagedFile(
                "/etc/sysctl.d/60-portway.conf",
                render("sysctl.conf.j2", reserved=reserved),
                "644",
            ),
        ),
        sysctls={"net.ipv4.ip_local_reserved_ports": reserved},
        services=(HAPROXY, ADDRESS_MOVER, KEEPALIVED),
    )


def reserved_ports(ports: Any) -> str:
    """The ports above the ephemeral range's start, as the kernel prints such a list.

    Where the list would be longer than the kernel takes, gaps are reserved too.
    """
    high = sorted(port for port in ports if port >= FIRST_EPHEMERAL_PORT)
    gap = 1
    while True:
        ranges: list[list[int]] = []
        for port in high:
            if ranges and port - ranges[-1][1] <= gap:
                ranges[-1][1] = port
            else:
                ranges.append([port, port])
        text = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
        if len(text) <= LONGEST_SYSCTL:
            return text
        gap *= 2


def _unit_override(
    service: Service,
    restart_milliseconds: int,
    *,
    descriptors: int | None = None,
    fifo: Path | None = None,
) -> ManagedFile:
    content = render(
        "unit.conf.j2",
        unit=service.unit,
        config=service.config,
        restart_milliseconds=restart_milliseconds,
        descriptors=descriptors,
        fifo=fifo,
        loaded_folder=LOADED_FOLDER,
        loaded=f"{LOADED_FOLDER}/{service.unit}",
    )
    return ManagedFile(service.override, content, "644")
