"""Text from a Cluster and one node of it: every file that a node gets.

Pure but for reading ``templates/``. Layout is the templates' business; a template that
needs a decision finds it made in the Cluster.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from portway.changes import ManagedFile, Service, WantedNode
from portway.cluster import STATS_FRONTEND, Cluster, LoadBalancer
from portway.errors import PortwayError

TEMPLATES = Path(__file__).parent.parent / "templates"

HAPROXY_CONFIG = "/etc/haproxy/haproxy.cfg"
KEEPALIVED_CONFIG = "/etc/keepalived/keepalived.conf"
CHECK_SCRIPT = "/usr/local/lib/portway/check-haproxy"
ADMIN_SOCKET = "/run/haproxy/admin.sock"
HAPROXY_WORKER = (
    f'echo "show info" | timeout 2 socat - UNIX-CONNECT:{ADMIN_SOCKET} 2>/dev/null '
    "| sed -n 's/^Pid: //p'"
)
LOADED_FOLDER = "/run/portway/loaded"
"""Where the hash of the config that each unit loaded is kept, until a reboot."""

DESCRIPTORS = 1_048_576
"""Enough for 10,000 listeners and 500,000 connections with two sockets each; the
kernel's own ceiling (fs.nr_open). It costs nothing until it is used."""

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
    }
    reserved = reserved_ports(frontend.port for frontend in cluster.frontends)
    return WantedNode(
        packages=("haproxy", "keepalived", "socat"),
        files=(
            ManagedFile(
                HAPROXY_CONFIG,
                render("haproxy.cfg.j2", **context),
                validate=("haproxy", "-c", "-f"),
            ),
            ManagedFile(CHECK_SCRIPT, render("check-haproxy.j2", **context), "755"),
            ManagedFile(
                KEEPALIVED_CONFIG,
                render("keepalived.conf.j2", **context),
                validate=("keepalived", "-t", "-f"),
            ),
            _unit_override("haproxy", HAPROXY_CONFIG, DESCRIPTORS),
            _unit_override("keepalived", KEEPALIVED_CONFIG, None),
            ManagedFile(
                "/etc/sysctl.d/60-portway.conf",
                render("sysctl.conf.j2", reserved=reserved),
                "644",
            ),
        ),
        sysctls={"net.ipv4.ip_local_reserved_ports": reserved},
        services=(
            Service(
                "haproxy",
                HAPROXY_CONFIG,
                _override("haproxy"),
                HAPROXY_WORKER,
                replaced_by_reload=True,
                # A process that was started before its unit had the limit gets it
                # without a restart, which would cut every stream.
                before_reload="prlimit --nofile={0}:{0} --pid {1}".format(
                    DESCRIPTORS, "$(systemctl show -p MainPID --value haproxy)"
                ),
            ),
            Service(
                "keepalived",
                KEEPALIVED_CONFIG,
                _override("keepalived"),
                "systemctl show -p MainPID --value keepalived",
                replaced_by_reload=False,
            ),
        ),
    )


def render(template: str, **context: Any) -> str:
    """One template's text.

    Raises PortwayError that names the template, the line and what is wrong with it.
    """
    try:
        return _environment().get_template(template).render(context)
    except TemplateError as error:
        line = getattr(error, "lineno", None) or _line_in(template, error)
        raise PortwayError(
            f"templates/{template}: line {line}: {error.message}; nothing was touched"
        ) from error


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


def _unit_override(unit: str, config: str, descriptors: int | None) -> ManagedFile:
    content = render(
        "unit.conf.j2",
        unit=unit,
        config=config,
        descriptors=descriptors,
        loaded_folder=LOADED_FOLDER,
    )
    return ManagedFile(_override(unit), content, "644")


def _override(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.service.d/portway.conf"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
    environment.filters["quoted"] = quoted
    return environment


def quoted(text: str) -> str:
    r"""A text as one word of a HAProxy configuration, with nothing expanded in it.

    Within single quotes HAProxy takes every character as it is (management guide,
    "Quoting and escaping"); a single quote itself is closed over: ``'\''``.
    """
    return "'" + text.replace("'", "'\\''") + "'"


def _line_in(template: str, error: BaseException) -> int | str:
    """The template's line that was being rendered when the error was raised."""
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == template:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
