"""The alerts, each with the section of the runbook that says what to do."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portway.agent.metrics import FILE as AGENT_FILE
from portway.cli.monitoring.metric_names import (
    address,
    agent,
    drift,
    exporter,
    haproxy,
    reloads,
    streams,
)
from portway.contract.mover import OVERDUE
from portway.contract.paths import METRICS_FILE, STREAMS_METRICS_FILE

RUNBOOK = "docs/runbook.md"
"""Where it is in a checkout; whoever publishes it has a URL."""
AGENT_SECTION = "a-node-does-not-deploy-to-itself"
OLDER = 50
"""How many older HAProxy processes on a node are worth a look."""
OF_LOAD_BALANCERS = '{role="load-balancer"}'
AGENT_OVERDUE = 3600
"""Seconds without a turn's metrics: one may be half an hour at work."""
UNSEEN = 2 * 86_400
"""Seconds without a look for drift after which nobody seems to look any more."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule."""

    name: str
    expression: str
    lasts: str
    """For how long it must hold."""
    severity: str
    """``page``: clients notice, or the next failure will be noticed; ``ticket``."""
    summary: str
    runbook: str
    """The anchor of its section."""


def alerts() -> tuple[Alert, ...]:
    """Every rule, those that wake people first."""
    master = address("vrrp_master")
    return (
        Alert(
            "PortwayAddressDisagrees",
            f"{address('agrees')} == 0",
            "2m",
            "page",
            "In AWS the address of {{ $labels.stack }} does not point to the VRRP "
            "master, says {{ $labels.instance }}.",
            "portway_address_agrees--0",
        ),
        Alert(
            "PortwayBothMaster",
            f"sum by (stack) ({master}) == 2",
            "1m",
            "page",
            "Both load balancers of {{ $labels.stack }} are VRRP master.",
            "sum-by-stack-portway_address_vrrp_master--2",
        ),
        Alert(
            "PortwayNoMaster",
            f"sum by (stack) ({master}) == 0",
            "1m",
            "page",
            "No load balancer of {{ $labels.stack }} is VRRP master.",
            "sum-by-stack-portway_address_vrrp_master--0",
        ),
        Alert(
            "PortwayNoServer",
            f"{haproxy('backend_active_servers')} == 0",
            "1m",
            "page",
            "{{ $labels.instance }} sees no healthy application node for the clients "
            "of {{ $labels.proxy }}.",
            "an-application-node-is-broken",
        ),
        Alert(
            "PortwayConnectionsRefused",
            f"increase({haproxy('backend_connection_errors_total')}[5m]) > 2",
            "5m",
            "page",
            "{{ $labels.instance }} sees healthy application nodes for the clients of "
            "{{ $labels.proxy }}, and none takes connections of some.",
            "messages-are-not-acknowledged",
        ),
        Alert(
            "PortwayClientUnanswered",
            _unanswered(),
            "2m",
            "page",
            "{{ $labels.proxy }} sends through {{ $labels.instance }}, and nobody "
            "answers it.",
            "messages-are-not-acknowledged",
        ),
        Alert(
            "PortwayLoadBalancerAway",
            f"count by (stack) ({master}) < 2",
            "2m",
            "ticket",
            "A load balancer of {{ $labels.stack }}, or its exporter, is away.",
            "count-by-stack-portway_address_vrrp_master--2",
        ),
        Alert(
            "PortwayStandbyCannotTakeAddress",
            f"{address('refused')} == 1",
            "2m",
            "ticket",
            "{{ $labels.instance }} could not take the address if it had to.",
            "portway_address_refused--1",
        ),
        Alert(
            "PortwayEc2Silent",
            f"time() - {address('looked_at_seconds')} > 180",
            "1m",
            "ticket",
            "EC2 has not answered {{ $labels.instance }} for three minutes.",
            "time---portway_address_looked_at_seconds--180",
        ),
        Alert(
            "PortwayProgramSilent",
            _silent(),
            "2m",
            "ticket",
            "A program of Portway's on {{ $labels.instance }} has stopped writing "
            "{{ $labels.file }}.",
            f"time---node_textfile_mtime_seconds--{OVERDUE}",
        ),
        Alert(
            "PortwayHandedOver",
            f"{address('handed_over')} == 1",
            "1d",
            "ticket",
            "{{ $labels.instance }} handed the address over a day ago and has not "
            "got it back.",
            "portway_address_handed_over--1",
        ),
        Alert(
            "PortwayOlderProcesses",
            f"{streams('older_workers')} > {OLDER}",
            "10m",
            "ticket",
            "{{ $labels.instance }} has {{ $value }} older HAProxy processes.",
            "old-haproxy-processes",
        ),
        Alert(
            "PortwayManyReloads",
            f"sum by (stack, instance) (increase({reloads('reloads_total')}[1h])) > 20",
            "1m",
            "ticket",
            "HAProxy on {{ $labels.instance }} was reloaded {{ $value }} times in an "
            "hour; each leaves a process with its streams.",
            "old-haproxy-processes",
        ),
        Alert(
            "PortwayLogLinesLost",
            f"increase({haproxy('process_dropped_logs_total')}[5m]) > 0",
            "1m",
            "ticket",
            "Lines about connections on {{ $labels.instance }} were lost.",
            "did-a-client-reach-us",
        ),
        Alert(
            "PortwayDrift",
            f"sum by (stack) ({drift('drift')}) > 0",
            "10m",
            "ticket",
            "{{ $labels.stack }} is not as its settings say, in {{ $value }} things.",
            "sum-by-stack-portway_drift--0",
        ),
        Alert(
            "PortwayDriftNotLookedFor",
            "time() - max by (stack) "
            f"({drift('drift_last_look_timestamp_seconds')}) > {UNSEEN}",
            "1m",
            "ticket",
            "Nobody has looked for drift of {{ $labels.stack }} for two days.",
            "time---max-by-stack-portway_drift_last_look_timestamp_seconds--172800",
        ),
        Alert(
            "PortwayAgentFails",
            f"{agent('failures')} > 2",
            "10m",
            "ticket",
            "{{ $labels.instance }} could not deploy to itself {{ $value }} times.",
            AGENT_SECTION,
        ),
        Alert(
            "PortwayAgentRefuses",
            f"{agent('refuses')} == 1",
            "15m",
            "ticket",
            "{{ $labels.instance }} does not serve with the release that is published.",
            AGENT_SECTION,
        ),
        Alert(
            "PortwayAgentsDiffer",
            f"count by (stack) (count by (stack, release) ({agent('served')})) > 1",
            "1h",
            "ticket",
            "The nodes of {{ $labels.stack }} serve with different releases.",
            AGENT_SECTION,
        ),
        Alert(
            "PortwayAgentBlind",
            f"{agent('blind')} == 1",
            "30m",
            "ticket",
            "AWS does not tell {{ $labels.instance }} whether it has something to "
            "deploy to itself.",
            AGENT_SECTION,
        ),
        Alert(
            "PortwayAgentSilent",
            f"{_age(AGENT_FILE)} > {AGENT_OVERDUE}",
            "2m",
            "ticket",
            "{{ $labels.instance }} has not come to the end of a turn of its agent for "
            "an hour.",
            AGENT_SECTION,
        ),
        Alert(
            "PortwayAgentMissing",
            f"count by (stack) ({agent('failures')}{OF_LOAD_BALANCERS}) "
            f"< count by (stack) ({master})",
            "1h",
            "ticket",
            "A load balancer of {{ $labels.stack }} does not deploy to itself, and the "
            "other one does.",
            AGENT_SECTION,
        ),
        Alert(
            "PortwayAgentSuspended",
            f"{agent('suspended')} == 1",
            "1d",
            "ticket",
            "{{ $labels.instance }} has been suspended for a day.",
            AGENT_SECTION,
        ),
    )


def _silent() -> str:
    """That a program has not written its metrics, which it does every five seconds.

    What it wrote last stays in its file, so no other alert would tell.
    """
    return f"{_age(METRICS_FILE, STREAMS_METRICS_FILE)} > {OVERDUE}"


def _age(*files: Path) -> str:
    """The seconds since files were written."""
    pattern = "|".join(str(file) for file in files).replace(".", "[.]")
    return f'time() - {exporter("textfile_mtime_seconds")}{{file=~"{pattern}"}}'


def _unanswered() -> str:
    """That connections of a client sent something and ended, and no answer came.

    HAProxy counts the bytes of a stream when it ends; ``option contstats`` would cost
    all streams CPU for this alert alone. So streams that are open may be busy: it takes
    more than twice as many new ones in five minutes. Streams in the process before a
    reload are in none of its numbers, hence the five minutes. Whoever only connects
    to look sends nothing. Where no node takes the connection, HAProxy may have read
    nothing either, so that has an alert of its own, whether or not this one fires.
    """
    began = f"increase({haproxy('frontend_sessions_total')}[5m])"
    denied = f"increase({haproxy('frontend_requests_denied_total')}[5m])"
    still_open = haproxy("frontend_current_sessions")
    sent = f"increase({haproxy('frontend_bytes_in_total')}[5m])"
    answered = f"increase({haproxy('frontend_bytes_out_total')}[5m])"
    return (
        f"{began} - {denied} > 2 + 2 * {still_open} and {sent} > 0 and {answered} == 0 "
        f"and on (instance) {haproxy('process_uptime_seconds')} > 300"
    )


def rules(runbook: str = RUNBOOK) -> str:
    """The rules as Prometheus reads them; JSON's strings are YAML's."""
    return "".join(_rule_lines(runbook))


def _rule_lines(runbook: str) -> Iterator[str]:
    yield "# Made by: python -m portway.cli.monitoring monitoring\n"
    yield "groups:\n  - name: portway\n    rules:\n"
    for alert in alerts():
        yield f"      - alert: {alert.name}\n"
        yield f"        expr: {json.dumps(alert.expression)}\n"
        yield f"        for: {alert.lasts}\n"
        yield f"        labels:\n          severity: {alert.severity}\n"
        yield "        annotations:\n"
        yield f"          summary: {json.dumps(alert.summary)}\n"
        url = json.dumps(f"{runbook}#{alert.runbook}")
        yield f"          runbook_url: {url}\n"
