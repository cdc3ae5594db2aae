"""Everything that a load balancer should have."""

from collections.abc import Iterable
from pathlib import Path

from portway.contract import paths
from portway.model.cluster import STATS_FRONTEND, Cluster, LoadBalancer
from portway.model.health import ANSWER_TIMEOUT
from portway.render.address_mover import ADDRESS_MOVER, address_files, address_paths
from portway.render.files import ManagedFile, Service, Survey, WantedNode
from portway.render.templates import render

PACKAGES = ("haproxy", "keepalived", "python3-boto3", "socat")
RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports"
RETRIES = "net.ipv4.tcp_retries2"
MOST_RETRIES = 7
"""Over 51 s where answers take milliseconds: 0.2 s, doubled each time (tcp(7))."""
HAPROXY_WORKER = (
    f'echo "show info" | timeout 2 socat - UNIX-CONNECT:{paths.ADMIN_SOCKET} '
    "2>/dev/null | sed -n 's/^Pid: //p'"
)

DESCRIPTORS = 1_048_576
"""Enough for 10,000 listeners and 500,000 connections with two sockets each, and the
kernel's own limit (fs.nr_open). It costs nothing until it is used."""

LOG_BURST = 5_000
"""Lines of HAProxy's in 30 s that journald takes at least."""

CHECK_SOURCE = Path(__file__).parents[1] / "node" / "check_haproxy.py"

HAPROXY = Service(
    "haproxy",
    str(paths.HAPROXY_CONFIG),
    str(paths.UNIT_FOLDER / "haproxy.service.d/portway.conf"),
    HAPROXY_WORKER,
    replaced_by_reload=True,
    # A process that was started before its unit had the limit gets it this way; a
    # restart would cut every stream.
    before_reload="prlimit --nofile={0}:{0} --pid {1} 2>/dev/null".format(
        DESCRIPTORS, "$(systemctl show -p MainPID --value haproxy)"
    ),
)
KEEPALIVED = Service(
    "keepalived",
    str(paths.KEEPALIVED_CONFIG),
    str(paths.UNIT_FOLDER / "keepalived.service.d/portway.conf"),
    "systemctl show -p MainPID --value keepalived",
    replaced_by_reload=False,
)
SERVICES = (HAPROXY, ADDRESS_MOVER, KEEPALIVED)
FOLDERS = (str(paths.PYTHON_FOLDER),)

LONGEST_SYSCTL = 4_000
"""Characters: the kernel reads one page of such a list."""


def load_balancer(cluster: Cluster, lb: LoadBalancer, interface: str) -> WantedNode:
    """Everything that one load balancer should have.

    ``interface`` is the device with the node's address, which only the node knows.
    """
    context = {
        "cluster": cluster,
        "settings": cluster.settings,
        "ports": cluster.stack.ports,
        "health": cluster.health,
        "answer_timeout": ANSWER_TIMEOUT,
        "lb": lb,
        "interface": interface,
        "admin_socket": paths.ADMIN_SOCKET,
        "stats_frontend": STATS_FRONTEND,
        "check_script": paths.CHECK_SCRIPT,
        "fifo": paths.FIFO,
        "transfer": paths.TRANSFER,
    }
    ports = cluster.stack.ports
    reserved = reserved_ports(
        [ports.stats, ports.health, *(frontend.port for frontend in cluster.frontends)]
    )
    return WantedNode(
        packages=PACKAGES,
        files=(
            ManagedFile(
                str(paths.HAPROXY_CONFIG),
                render("haproxy.cfg.j2", **context),
                validate=("haproxy", "-c", "-f"),
            ),
            ManagedFile(str(paths.CHECK_SCRIPT), CHECK_SOURCE.read_text(), "755"),
            *address_files(cluster, lb),
            ManagedFile(
                str(paths.KEEPALIVED_CONFIG),
                render("keepalived.conf.j2", **context),
                validate=("keepalived", "-t", "-f"),
            ),
            _unit_override(HAPROXY, 200, descriptors=DESCRIPTORS, log_burst=LOG_BURST),
            _unit_override(KEEPALIVED, 500, fifo=paths.FIFO),
            ManagedFile(
                str(paths.SYSCTL_CONFIG),
                render("sysctl.conf.j2", reserved=reserved, retries=MOST_RETRIES),
                "644",
            ),
        ),
        sysctls={RESERVED_PORTS: reserved, RETRIES: str(MOST_RETRIES)},
        services=SERVICES,
        folders=FOLDERS,
    )


def load_balancer_survey() -> Survey:
    """What to look at on a load balancer; the survey of every ``load_balancer``."""
    return Survey(
        packages=PACKAGES,
        files=(
            str(paths.HAPROXY_CONFIG),
            str(paths.CHECK_SCRIPT),
            *address_paths(),
            str(paths.KEEPALIVED_CONFIG),
            HAPROXY.override,
            KEEPALIVED.override,
            str(paths.SYSCTL_CONFIG),
        ),
        folders=FOLDERS,
        sysctls=(RESERVED_PORTS, RETRIES),
        units=tuple(service.unit for service in SERVICES),
    )


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


def _unit_override(
    service: Service,
    restart_milliseconds: int,
    *,
    descriptors: int | None = None,
    log_burst: int | None = None,
    fifo: Path | None = None,
) -> ManagedFile:
    content = render(
        "unit.conf.j2",
        unit=service.unit,
        config=service.config,
        restart_milliseconds=restart_milliseconds,
        descriptors=descriptors,
        log_burst=log_burst,
        fifo=fifo,
        loaded_folder=paths.LOADED_FOLDER,
        loaded=paths.LOADED_FOLDER / service.unit,
    )
    return ManagedFile(service.override, content, "644")
