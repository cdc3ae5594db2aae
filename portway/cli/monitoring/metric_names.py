"""The metrics that there are; any other name is an error."""

from typing import Any

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


def address(name: str) -> str:
    """A metric of the address mover; KeyError if there is none."""
    return PREFIX + _known(name, METRICS)


def streams(name: str) -> str:
    """A metric of the stream keeper; KeyError if there is none."""
    return STREAMS_PREFIX + _known(name, STREAMS_METRICS)


def reloads(name: str) -> str:
    """A metric of HAProxy's reloads; KeyError if there is none."""
    return RELOAD_PREFIX + _known(name, RELOAD_METRICS)


def haproxy(name: str) -> str:
    """A metric of HAProxy's own; KeyError if it is not among those that are tested."""
    return _known(f"haproxy_{name}", HAPROXY)


def _known(name: str, names: Any) -> str:
    if name not in names:
        raise KeyError(name)
    return name
