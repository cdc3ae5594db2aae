"""The alerts are current, and each fires when it should and not before."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portway.agent.metrics import FILE
from portway.cli.monitoring.__main__ import files
from portway.cli.monitoring.alerts import RUNBOOK, Alert, alerts
from portway.cli.monitoring.dashboard import dashboard, panels
from portway.cli.monitoring.metric_names import address, haproxy
from portway.contract.paths import METRICS_FILE
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


def proxy(name: str, at: str = "lb-1", **metrics: str) -> dict[str, str]:
    """HAProxy's metrics of one client or backend at one load balancer."""
    return {
        f'haproxy_{metric}{{instance="{at}:8404", proxy="{name}"}}': values
        for metric, values in metrics.items()
    }


def unanswered(name: str = "client_one", **changed: str) -> dict[str, str]:
    """A client whose connections get no answer from the tenth minute on."""
    plain = {
        "frontend_sessions_total": "0+5x40",
        "frontend_requests_denied_total": "0x40",
        "frontend_current_sessions": "1x40",
        "frontend_bytes_in_total": "0+9x40",
        "frontend_bytes_out_total": "0+9x10 90x30",
    }
    return proxy(name, **plain | changed)


UPTIME = {'haproxy_process_uptime_seconds{instance="lb-1:8404"}': "600+60x40"}


MASTER = "portway_address_vrrp_master"
LONG = "x3000"
NODE = {"instance": PAIR[0], "stack": "prod"}
MOVERS = str(METRICS_FILE)
AGENTS = str(FILE)
LOAD_BALANCER = "load-balancer"

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
        {  # the standby sees some, and does not serve
            **proxy("tcp_leastconn", backend_active_servers="2x10 0x20"),
            **proxy("tcp_leastconn", "lb-2", backend_active_servers="2x30"),
        },
        "13m",
        {"instance": "lb-1:8404", "proxy": "tcp_leastconn"},
        "0",
    ),
    "PortwayConnectionsRefused": (
        {  # the second has a node that failed, and others that took over
            **proxy("tcp_leastconn", backend_connection_errors_total="0x10 0+3x30"),
            **proxy("http", backend_connection_errors_total="0x10 90x30"),
        },
        "20m",
        {"instance": "lb-1:8404", "proxy": "tcp_leastconn"},
        "",
    ),
    "PortwayClientUnanswered": (
        {**unanswered(), **UPTIME},
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
    "PortwayProgramSilent": (
        {  # whatever else writes there may rest
            **of("node_textfile_mtime_seconds", "0+60x10 600x20", file=MOVERS),
            **of("node_textfile_mtime_seconds", "0x30", file="/other.prom"),
        },
        "14m",
        {**NODE, "file": MOVERS},
        "60",
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
        NODE,
        "60",
    ),
    "PortwayLogLinesLost": (
        {'haproxy_process_dropped_logs_total{instance="lb-1:8404"}': "0x10 0+1x20"},
        "20m",
        {"instance": "lb-1:8404"},
        "5",
    ),
    "PortwayDrift": (
        {
            **of("portway_drift", "0x10 2x30", kind="file"),
            **of("portway_drift", "0x10 1x30", kind="service"),
        },
        "22m",
        {"stack": "prod"},
        "3",
    ),
    "PortwayDriftNotLookedFor": (
        of("portway_drift_last_look_timestamp_seconds", "-171900x30"),
        "18m",
        {"stack": "prod"},
        "172980",
    ),
    "PortwayAgentFails": (
        of("portway_agent_failures", "2x10 3x20", "0x30"),
        "22m",
        NODE,
        "3",
    ),
    "PortwayAgentRefuses": (
        of("portway_agent_refuses", "0x10 1x20", "0x30"),
        "27m",
        NODE,
        "1",
    ),
    "PortwayAgentsDiffer": (
        {
            **of("portway_agent_served", "1x100", "1x9 _x90", release="portway-1"),
            **of("portway_agent_served", "_x100", "_x10 1x90", release="portway-2"),
        },
        "75m",
        {"stack": "prod"},
        "2",
    ),
    "PortwayAgentBlind": (
        of("portway_agent_blind", "0x10 1x40", "0x50"),
        "42m",
        NODE,
        "1",
    ),
    "PortwayAgentSilent": (
        {
            **of("node_textfile_mtime_seconds", "0+60x10 600x90", file=AGENTS),
            **of("node_textfile_mtime_seconds", "0x100", file="/other.prom"),
        },
        "75m",
        {**NODE, "file": AGENTS},
        "60",
    ),
    "PortwayAgentMissing": (
        {
            **of("portway_agent_failures", "0x100", "0x10 _x90", role=LOAD_BALANCER),
            # An application node that has one is none of the pair.
            **of("portway_agent_failures", "0x100", role="application"),
            **of(MASTER, "1x100", "0x100"),
        },
        "77m",
        {"stack": "prod"},
        "1",
    ),
    "PortwayAgentSuspended": (
        of("portway_agent_suspended", f"0x10 1{LONG}", f"0{LONG}"),
        "1460m",
        NODE,
        "1",
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
            "runbook_url": f"{RUNBOOK}#{alert.runbook}",
        },
    }


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_alert_fires_when_it_should_and_not_before(
    alert: Alert, tmp_path: Path
) -> None:
    series, when, labels, value = CASES[alert.name]
    fires = [expected(alert, labels, value)]
    promise(tmp_path, alert.name, series, {"9m": [], when: fires})


def promise(
    folder: Path,
    alert: str,
    series: dict[str, str],
    expectations: dict[str, list[dict[str, Any]]],
) -> None:
    """Have promtool hold an alert to what is expected of it by the time."""
    test = {
        "rule_files": [str(FOLDER / "alerts.yaml")],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values}
                    for name, values in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": when, "alertname": alert, "exp_alerts": alerts}
                    for when, alerts in expectations.items()
                ],
            }
        ],
    }
    path = folder / "test.yaml"
    path.write_text(json.dumps(test))  # which is YAML
    result = subprocess.run(
        ["promtool", "test", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(
            {
                "frontend_sessions_total": "0x10 200x30",
                "frontend_current_sessions": "0x10 200x30",
                "frontend_bytes_out_total": "0x40",
            },
            id="long streams that all began at once",
        ),
        pytest.param(
            {
                "frontend_sessions_total": "0+6x40",
                "frontend_current_sessions": "30x40",
            },
            id="new streams beside many that are busy",
        ),
        pytest.param({"frontend_bytes_in_total": "0x40"}, id="connects to look only"),
        pytest.param({"frontend_requests_denied_total": "0+5x40"}, id="not allowed"),
        pytest.param({"frontend_bytes_out_total": "0+1x40"}, id="answered at times"),
    ],
)
def test_client_that_may_be_served_wakes_nobody(
    changed: dict[str, str], tmp_path: Path
) -> None:
    """HAProxy tells the bytes of a stream when it ends, so of those that last none."""
    series = {**UPTIME, **unanswered(**changed), **unanswered("two")}
    labels = {"instance": "lb-1:8404", "proxy": "two"}
    (alert,) = (a for a in alerts() if a.name == "PortwayClientUnanswered")
    fires = [expected(alert, labels, "25")]
    promise(tmp_path, alert.name, series, {"14m": [], "20m": fires, "25m": fires})


def test_streams_in_the_process_before_a_reload_wake_nobody(tmp_path: Path) -> None:
    """They began in the last minutes, and the new process knows nothing of them."""
    uptime = dict.fromkeys(UPTIME, "600+60x10 0+60x30")
    began = {
        "frontend_sessions_total": "0x9 200 0x30",
        "frontend_current_sessions": "0x9 200 0x30",
        "frontend_bytes_out_total": "0x40",
    }
    series = {**uptime, **unanswered(**began)}
    quiet: dict[str, list[dict[str, Any]]] = {f"{n}m": [] for n in range(9, 16)}
    promise(tmp_path, "PortwayClientUnanswered", series, quiet)


def test_links_lead_to_where_the_runbook_is_published(tmp_path: Path) -> None:
    url = "https://wiki.example.com/portway/runbook"
    words = ["-m", "portway.cli.monitoring", str(tmp_path), f"--runbook={url}"]
    subprocess.run([sys.executable, *words], check=True, cwd=PROJECT)
    text = (tmp_path / "alerts.yaml").read_text()
    links = [line for line in text.splitlines() if "runbook_url" in line]
    assert len(links) == len(alerts())
    assert all(f'runbook_url: "{url}#' in line for line in links)


def test_every_alert_has_a_case() -> None:
    assert [alert.name for alert in alerts()] == list(CASES)


def test_files_are_current() -> None:
    for name, made in files().items():
        assert (FOLDER / name).read_text() == made, (
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
