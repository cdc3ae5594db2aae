"""The metrics that there are; any other name is an error."""

from typing import Any

from portway.agent import metrics as agents
from portway.cli.drift.report import METRICS as DRIFT
from portway.contract.metrics import (
    METRICS,
    PREFIX,
    RELOAD_METRICS,
    RELOAD_PREFIX,
    STREAMS_METRICS,
    STREAMS_PREFIX,
)

HAPROXY = frozenset(
    (
        "haproxy_backend_active_servers",
        "haproxy_backend_connection_errors_total",
        "haproxy_frontend_bytes_in_total",
        "haproxy_frontend_bytes_out_total",
        "haproxy_frontend_current_sessions",
        "haproxy_frontend_requests_denied_total",
        "haproxy_frontend_sessions_total",
        "haproxy_process_dropped_logs_total",
        "haproxy_process_uptime_seconds",
        "haproxy_server_check_failures_total",
    )
)
"""Those of HAProxy's own that are used; a test asks HAProxy for them."""

EXPORTER = frozenset(("node_textfile_mtime_seconds",))
"""Those of the node exporter's own that are used; the lab's alerts need them."""


def address(name: str) -> str:
    """A metric of the address mover; KeyError if there is none."""
    return PREFIX + _known(name, METRICS)


def streams(name: str) -> str:
    """A metric of the stream keeper; KeyError if there is none."""
    return STREAMS_PREFIX + _known(name, STREAMS_METRICS)


def reloads(name: str) -> str:
    """A metric of HAProxy's reloads; KeyError if there is none."""
    return RELOAD_PREFIX + _known(name, RELOAD_METRICS)


def agent(name: str) -> str:
    """A metric of nodes that deploy to themselves; KeyError if there is none."""
    return agents.PREFIX + _known(name, agents.METRICS)


def haproxy(name: str) -> str:
    """A metric of HAProxy's own; KeyError if it is not among those that are tested."""
    return _known(f"haproxy_{name}", HAPROXY)


def drift(name: str) -> str:
    """A metric of ``portway drift``; KeyError if there is none."""
    return _known(f"portway_{name}", DRIFT)


def exporter(name: str) -> str:
    """A metric of the node exporter's own; KeyError if it is not among those."""
    return _known(f"node_{name}", EXPORTER)


def _known(name: str, names: Any) -> str:
    if name not in names:
        raise KeyError(name)
    return name
