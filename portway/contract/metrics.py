"""The metrics that programs on load balancers write for Prometheus."""

PREFIX = "portway_address_"

METRICS = {
    "vrrp_master": "Whether this node is VRRP master.",
    "address_held": "Whether the address points to this node in AWS.",
    "agrees": "Whether AWS and VRRP agree about this node.",
    "handed_over": "Whether this node has handed the address over on purpose.",
    "looked_at_seconds": "When EC2 last answered where the address points, since 1970.",
    "last_move_seconds": "When the address was last moved to this node, since 1970.",
    "moves_total": "Calls that moved the address to this node.",
    "refused": "Whether EC2 would refuse to let this node move the address.",
    "failed_calls": "EC2 calls that failed since the last one that succeeded.",
    "failed_calls_total": "EC2 calls that failed.",
}
"""Help texts by name, without the prefix."""
COUNTERS = ("moves_total", "failed_calls_total")

STREAMS_METRICS = {
    "older_workers": "HAProxy processes that a reload left with their streams.",
    "older_streams": "Streams in those processes.",
    "closed_retired_total": "Streams in older processes closed after idling.",
    "closed_ordered_total": "Streams of ordered clients closed to keep to one node.",
    "closed_failed_total": "Streams closed as their node failed.",
}
"""The stream keeper's; those that end in ``_total`` are counters."""
STREAMS_PREFIX = "portway_streams_"
RELOAD_PREFIX = "portway_haproxy_"
RELOAD_METRICS = {
    "reloads_total": ("counter", "Reloads of HAProxy, by `reason`."),
    "last_reload_seconds": ("gauge", "When HAProxy was last reloaded, since 1970."),
}
"""Types and help texts by name, without the prefix."""
