"""Everything that a load balancer should have."""

import hashlib
from dataclasses import replace

from portway.contract import paths
from portway.contract.streams import HELD, STICK_TABLE_KEY
from portway.model.cluster import STATS_FRONTEND, Cluster, LoadBalancer
from portway.model.health import ANSWER_TIMEOUT
from portway.render.address_mover import ADDRESS_MOVER, address_files, address_paths
from portway.render.check import CHECK, HEARTBEAT, check_files, check_paths
from portway.render.files import ManagedFile, Service, Survey, WantedNode
from portway.render.machine import (
    RESERVED_PORTS,
    needrestart_file,
    reserved_ports,
    sysctl_file,
)
from portway.render.node_programs import node_program
from portway.render.streams import STREAM_KEEPER, streams_files, streams_paths
from portway.render.templates import render

PACKAGES = ("haproxy", "keepalived", "python3-boto3", "socat")
RETRIES = "net.ipv4.tcp_retries2"
MOST_RETRIES = 7
"""Over 51 s where answers take milliseconds: 0.2 s, doubled each time (tcp(7))."""
HAPROXY_WORKER = (
    f'echo "show info" | timeout 5 socat -t6 - UNIX-CONNECT:{paths.ADMIN_SOCKET} '
    "2>/dev/null | sed -n 's/^Pid: //p'"
)

NO_PEER = "192.0.0.8"
"""What keepalived gets for the address of a peer that there is not: nobody has it (RFC
7600). Without any it would use multicast, and leave the master's role for a moment when
there is one."""

DESCRIPTORS = 1_048_576
"""Enough for 10,000 listeners and 500,000 connections with two sockets each, and the
kernel's own limit (fs.nr_open). It costs nothing until it is used."""

LOG_BURST = 5_000
"""Lines of HAProxy's in 30 s that journald takes at least."""

MAX_RELOADS = 200
"""Reloads that a worker may live through. Its memory runs out long before; HAProxy
itself has no limit up to 3.2, and 50 from 3.3 on, and it cuts what is in flight."""

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
    # Its own and systemd's; connections are logged through syslog.
    own_words=("_TRANSPORT=stdout", "_TRANSPORT=journal"),
    alert="[ALERT]",
    copy=str(paths.LOADED_HAPROXY),
)
KEEPALIVED = Service(
    "keepalived",
    str(paths.KEEPALIVED_CONFIG),
    str(paths.UNIT_FOLDER / "keepalived.service.d/portway.conf"),
    "systemctl show -p MainPID --value keepalived",
    replaced_by_reload=False,
)
SERVICES = (STREAM_KEEPER, HAPROXY, ADDRESS_MOVER, CHECK, KEEPALIVED)
"""The keeper first: it must know new ``ordered`` clients before HAProxy serves them."""
PROGRAMS = (STREAM_KEEPER, ADDRESS_MOVER, CHECK)
"""Portway's own."""
PAIR = (ADDRESS_MOVER, KEEPALIVED)
"""Those whose configuration names the peer."""
FOLDERS = (str(paths.PROGRAM_FOLDER),)


def load_balancer(cluster: Cluster, lb: LoadBalancer) -> WantedNode:
    """Everything that one load balancer should have."""
    prepare = preparation(lb.node.address)
    context = {
        "cluster": cluster,
        "settings": cluster.settings,
        "ports": cluster.stack.ports,
        "health": cluster.health,
        "answer_timeout": ANSWER_TIMEOUT,
        "lb": lb,
        "admin_socket": paths.ADMIN_SOCKET,
        "server_states": paths.SERVER_STATES,
        "stats_frontend": STATS_FRONTEND,
        "heartbeat": HEARTBEAT,
        "verdict": paths.VERDICT,
        "standing": paths.STANDING,
        "interface_file": paths.INTERFACE,
        "fifo": paths.FIFO,
        "held": HELD,
        "max_reloads": MAX_RELOADS,
        "stick_table_key": STICK_TABLE_KEY,
        "transfer": paths.TRANSFER,
        "no_peer": NO_PEER,
    }
    ports = cluster.stack.ports
    reserved = reserved_ports(
        [ports.stats, ports.health, *(frontend.port for frontend in cluster.frontends)]
    )
    ours = (
        *streams_files(cluster),
        *address_files(cluster, lb),
        *check_files(cluster),
        *before_reload_files(),
    )
    return WantedNode(
        packages=PACKAGES,
        files=(
            ManagedFile(
                str(paths.HAPROXY_CONFIG),
                render("haproxy.cfg.j2", **context),
                validate=("haproxy", "-c", "-f"),
            ),
            *ours,
            ManagedFile(
                str(paths.PACKAGE_POLICY),
                render("policy-rc.d.j2", unit=KEEPALIVED.unit),
                "755",
            ),
            needrestart_file(HAPROXY.unit, KEEPALIVED.unit),
            ManagedFile(
                str(paths.KEEPALIVED_CONFIG),
                render("keepalived.conf.j2", **context),
                validate=(
                    "/bin/sh",
                    "-c",
                    f'{prepare} && exec keepalived -t -f "$0"',
                ),
            ),
            _unit_override(
                HAPROXY,
                200,
                descriptors=DESCRIPTORS,
                log_burst=LOG_BURST,
                before_reload=paths.BEFORE_RELOAD,
            ),
            _unit_override(KEEPALIVED, 500, prepare=prepare),
            sysctl_file(reserved, MOST_RETRIES),
        ),
        sysctls={RESERVED_PORTS: reserved, RETRIES: str(MOST_RETRIES)},
        services=SERVICES,
        folders=FOLDERS,
    )


def fingerprint(cluster: Cluster) -> str:
    """16 hexadecimal digits that stand for everything that the pair should have."""
    pair = sorted(cluster.load_balancers, key=lambda lb: lb.name)
    lines = [
        f"{lb.name} {file.path} {file.sha256} {file.mode}"
        for lb in pair
        for file in load_balancer(cluster, lb).files
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def without_pair(wanted: WantedNode) -> WantedNode:
    """What a load balancer gets while its peer is gone: all but its part in the pair.

    keepalived and the address mover stay as they are: whoever the peer was, it goes on
    hearing this node, should it be there after all. So does the folder of their
    programs, from which nothing is removed.
    """
    left = {KEEPALIVED.config, *address_paths()}
    return replace(
        wanted,
        files=tuple(file for file in wanted.files if file.path not in left),
        services=tuple(service for service in wanted.services if service not in PAIR),
        folders=(),
    )


def load_balancer_survey() -> Survey:
    """What to look at on a load balancer; the survey of every ``load_balancer``."""
    return Survey(
        packages=PACKAGES,
        files=(
            str(paths.HAPROXY_CONFIG),
            *streams_paths(),
            *address_paths(),
            *check_paths(),
            *before_reload_paths(),
            str(paths.PACKAGE_POLICY),
            str(paths.NEEDRESTART_CONFIG),
            str(paths.KEEPALIVED_CONFIG),
            HAPROXY.override,
            KEEPALIVED.override,
            str(paths.SYSCTL_CONFIG),
        ),
        folders=FOLDERS,
        sysctls=(RESERVED_PORTS, RETRIES),
        units=tuple(service.unit for service in SERVICES),
    )


def preparation(address: str) -> str:
    """Shell code for what keepalived needs before it reads its configuration.

    That is the folders in which it watches files (2.3.3 crashes without), and the name
    of the network interface that has a node's own address.
    """
    folders = f"{paths.CHECK_RUN_FOLDER} {paths.ADDRESS_RUN_FOLDER}"
    shown = f"ip -o -4 address show to {address}/32"
    name = r'sed -n "s/^[0-9]*: *\([^ ]*\) .*/interface \1/p"'
    target = paths.INTERFACE
    return (
        f"mkdir -p {folders} && {shown} | {name} >{target}.new && "
        f"[ -s {target}.new ] && mv {target}.new {target}"
    )


def before_reload_files() -> tuple[ManagedFile, ...]:
    """The program that HAProxy's unit runs before a reload."""
    program = node_program("node/before_reload.py")
    launcher = render("before-reload.j2", python_folder=program.folder)
    return (
        *program.files,
        ManagedFile(str(paths.BEFORE_RELOAD), launcher, "755"),
    )


def before_reload_paths() -> tuple[str, ...]:
    """The paths of those files, in the same order."""
    return tuple(file.path for file in before_reload_files())


def _unit_override(
    service: Service, restart_milliseconds: int, **details: object
) -> ManagedFile:
    """A unit's drop-in; ``details`` are what only one of them has."""
    none = dict.fromkeys(("descriptors", "log_burst", "before_reload", "prepare"))
    content = render(
        "unit.conf.j2",
        unit=service.unit,
        config=service.config,
        restart_milliseconds=restart_milliseconds,
        fifo=paths.FIFO,
        standing=paths.STANDING,
        loaded_folder=paths.LOADED_FOLDER,
        loaded=paths.LOADED_FOLDER / service.unit,
        copy=service.copy,
        states=paths.SERVER_STATES,
        **none | details,
    )
    return ManagedFile(service.override, content, "644")
