"""The alerts are current, and each fires when it should and not before."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from portway.cli.monitoring.__main__ import FILES
from portway.cli.monitoring.alerts import RUNBOOK, Alert, alerts
from portway.cli.monitoring.dashboard import dashboard, panels
from portway.cli.monitoring.metric_names import address, haproxy
from tests.unit.documents.test_links import anchors

PROJECT = Path(__file__).parents[3]
FOLDER = PROJECT / "monitoring"
PAIR = ("lb-1:9100", "lb-2:9100")


def of(metric: str, *values: str, **labels: str) -> dict[str, str]:
    """Series of the first load balancers, one for each string of values."""
    found = {}
    for instance, text in zip(PAIR, values, strict=False):
        own = {"instance": instance, "stack": "prod", **labels}
        named = ", ".join(f'{key}="{value}"' for key, value in own.items())
        found[f"{metric}{{{named}}}"] = text
    return found


def proxy(name: str, **metrics: str) -> dict[str, str]:
    """HAProxy's metrics of one client or backend at one load balancer."""
    return {
        f'haproxy_{metric}{{instance="lb-1:8404", proxy="{name}"}}': values
        for metric, values in metrics.items()
    }


MASTER = "portway_address_vrrp_master"
LONG = "x3000"
NODE = {"instance": PAIR[0], "stack": "prod"}

CASES: dict[str, tuple[dict[str, str], str, dict[str, str], str]] = {
    "PortwayAddressDisagrees": (
        of("portway_address_agrees", "1x10 0x20", "1x30"),
        "13m",
        NODE,
        "0",
    ),
    "PortwayBothMaster": (
        of(MASTER, "1x30", "0x10 1x20"),
        "13m",
        {"stack": "prod"},
        "2",
    ),
    "PortwayNoMaster": (of(MASTER, "1x10 0x20", "0x30"), "13m", {"stack": "prod"}, "0"),
    "PortwayNoServer": (
        proxy("tcp_leastconn", backend_active_servers="2x10 0x20"),
        "13m",
        {"proxy": "tcp_leastconn"},
        "0",
    ),
    "PortwayClientUnanswered": (
        proxy(
            "client_one",
            frontend_sessions_total="0+5x40",
            frontend_requests_denied_total="0x40",
            frontend_bytes_out_total="0+9x10 90x30",
        ),
        "20m",
        {"instance": "lb-1:8404", "proxy": "client_one"},
        "25",
    ),
    "PortwayLoadBalancerAway": (
        of(MASTER, "1x30", "0x9 _x20"),
        "18m",
        {"stack": "prod"},
        "1",
    ),
    "PortwayStandbyCannotTakeAddress": (
        of("portway_address_refused", "0x10 1x20", "0x30"),
        "14m",
        NODE,
        "1",
    ),
    "PortwayEc2Silent": (
        of("portway_address_looked_at_seconds", "0+60x10 600x20"),
        "16m",
        NODE,
        "360",
    ),
    "PortwayHandedOver": (
        of("portway_address_handed_over", f"0x10 1{LONG}", f"0{LONG}"),
        "1460m",
        NODE,
        "1",
    ),
    "PortwayOlderProcesses": (
        of("portway_streams_older_workers", "50x10 51x20"),
        "22m",
        NODE,
        "51",
    ),
    "PortwayManyReloads": (
        of("portway_haproxy_reloads_total", "0x10 0+1x90", reason="clients"),
        "75m",
        {"instance": PAIR[0]},
        "60",
    ),
    "PortwayLogLinesLost": (
        {'haproxy_process_dropped_logs_total{instance="lb-1:8404"}': "0x10 0+1x20"},
        "20m",
        {"instance": "lb-1:8404"},
        "5",
    ),
}
"""Series of a value a minute, good for ten; when the alert fires; its labels and
value."""


def expected(alert: Alert, labels: dict[str, str], value: str) -> dict[str, Any]:
    """The alert as promtool expects it."""
    summary = alert.summary.replace("{{ $value }}", value)
    for name, text in labels.items():
        summary = summary.replace(f"{{{{ $labels.{name} }}}}", text)
    return {
        "exp_labels": labels | {"severity": alert.severity},
        "exp_annotations": {
            "summary": summary,
            "runbook_url": RUNBOOK + alert.runbook,
        },
    }


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_alert_fires_when_it_should_and_not_before(
    alert: Alert, tmp_path: Path
) -> None:
    series, when, labels, value = CASES[alert.name]
    quiet = {"eval_time": "9m", "alertname": alert.name, "exp_alerts": []}
    fires = {
        "eval_time": when,
        "alertname": alert.name,
        "exp_alerts": [expected(alert, labels, value)],
    }
    test = {
        "rule_files": [str(FOLDER / "alerts.yaml")],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values}
                    for name, values in series.items()
                ],
                "alert_rule_test": [quiet, fires],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps(test))  # which is YAML
    result = subprocess.run(
        ["promtool", "test", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case() -> None:
    assert [alert.name for alert in alerts()] == list(CASES)


def test_files_are_current() -> None:
    for name, made in FILES.items():
        assert (FOLDER / name).read_text() == made(), (
            "run: python -m portway.cli.monitoring monitoring"
        )


def test_alerts_lead_to_a_section_of_the_runbook() -> None:
    known = anchors((PROJECT / "docs" / "runbook.md").read_text())
    assert {alert.runbook for alert in alerts()} <= known


def test_metric_that_nobody_writes_is_an_error() -> None:
    for metric in (address, haproxy):
        with pytest.raises(KeyError):
            metric("mastery")


def test_dashboard_has_a_panel_for_each_expression() -> None:
    made = json.loads(dashboard())
    assert [p["targets"][0]["expr"] for p in made["panels"]] == [p[1] for p in panels()]
    assert len({panel["id"] for panel in made["panels"]}) == len(panels())
