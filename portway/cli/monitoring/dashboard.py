"""The dashboard: what a load balancer knows of clients, nodes and itself."""

import json

from portway.cli.monitoring.metric_names import address, haproxy, reloads, streams


def panels() -> tuple[tuple[str, str, str, str], ...]:
    """Title, expression, legend and unit of each panel of the dashboard."""
    new = f"rate({haproxy('frontend_sessions_total')}[5m])"
    received = f"rate({haproxy('frontend_bytes_in_total')}[5m])"
    failed = f"increase({haproxy('server_check_failures_total')}[5m])"
    client = "{{stack}} {{proxy}}"
    node = "{{instance}}"
    return (
        ("VRRP master", address("vrrp_master"), node, "short"),
        ("Address in AWS", address("address_held"), node, "short"),
        ("AWS and VRRP agree", f"min by (stack) ({address('agrees')})", "", "short"),
        (
            "Moves of the address",
            f"increase({address('moves_total')}[1h])",
            node,
            "short",
        ),
        (
            "Failed calls to EC2",
            f"increase({address('failed_calls_total')}[5m])",
            node,
            "short",
        ),
        (
            "Streams, by client",
            f"topk(20, sum by (stack, proxy) ({haproxy('frontend_current_sessions')}))",
            client,
            "short",
        ),
        (
            "New connections a second",
            f"topk(20, sum by (stack, proxy) ({new}))",
            client,
            "short",
        ),
        (
            "From clients, as their streams end",
            f"topk(20, sum by (stack, proxy) ({received}))",
            client,
            "Bps",
        ),
        (
            "Turned away by allow lists",
            "topk(20, sum by (stack, proxy) "
            f"(increase({haproxy('frontend_requests_denied_total')}[1h])))",
            client,
            "short",
        ),
        (
            "Healthy servers, by backend",
            f"min by (stack, proxy) ({haproxy('backend_active_servers')})",
            client,
            "short",
        ),
        (
            "Failed checks",
            f"sum by (stack, server) ({failed})",
            "{{stack}} {{server}}",
            "short",
        ),
        ("Older HAProxy processes", streams("older_workers"), node, "short"),
        ("Streams in them", streams("older_streams"), node, "short"),
        (
            "Reloads, by reason",
            f"sum by (stack, reason) (increase({reloads('reloads_total')}[1h]))",
            "{{stack}} {{reason}}",
            "short",
        ),
    )


def dashboard() -> str:
    """The dashboard as Grafana imports it; it asks for the data source."""
    source = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
    return (
        json.dumps(
            {
                "__inputs": [
                    {
                        "name": "DS_PROMETHEUS",
                        "label": "Prometheus",
                        "type": "datasource",
                        "pluginId": "prometheus",
                        "pluginName": "Prometheus",
                    }
                ],
                "title": "Portway",
                "uid": "portway",
                "tags": ["portway"],
                "schemaVersion": 39,
                "refresh": "30s",
                "time": {"from": "now-6h", "to": "now"},
                "panels": [
                    {
                        "id": place + 1,
                        "type": "timeseries",
                        "title": title,
                        "datasource": source,
                        "gridPos": {
                            "h": 8,
                            "w": 8,
                            "x": place % 3 * 8,
                            "y": place // 3 * 8,
                        },
                        "fieldConfig": {
                            "defaults": {"unit": unit, "min": 0},
                            "overrides": [],
                        },
                        "targets": [
                            {
                                "refId": "A",
                                "datasource": source,
                                "expr": expression,
                                "legendFormat": legend or "__auto",
                            }
                        ],
                    }
                    for place, (title, expression, legend, unit) in enumerate(panels())
                ],
            },
            indent=1,
        )
        + "\n"
    )
