"""Debian's Prometheus on the operator's machine, with monitoring/prometheus.yaml."""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.ground import namespaces
from lab.plan import facts
from lab.plan.names import OPERATOR, Lab
from tests.lab.system import PROJECT, System, completed, wait_until

FOLDER = PROJECT / "monitoring"
EXPORTER_PORT = 19100
SHORTER = {"m": 1.0, "h": 30.0, "d": 5.0}
"""Seconds that a minute, an hour and a day take in the lab."""


def faster(rules: str) -> str:
    """The rules with shorter durations, and nothing else changed.

    HAProxy's uptime must exceed a window, so it is one; other ages are left as they
    are, for the nodes' programs take the time they take.
    """

    def shorter(found: re.Match[str]) -> str:
        before, number, unit = found.groups()
        return f"{before}{int(number) * SHORTER[unit]:g}s"

    def minutes(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * SHORTER['m'] / 60:g}"

    text = re.sub(r"(\[|for: )(\d+)([mhd])\b", shorter, rules)
    return re.sub(r"(uptime_seconds > )(\d+)", minutes, text)


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    system: System

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        words = []
        for key, value in parameters.items():
            words += ["--data-urlencode", f"{key}={value}"]
        url = f"http://127.0.0.1:9090/api/v1/{path}"
        inside = namespaces.inside(Lab(self.system.name), OPERATOR)
        curl = ("curl", "--silent", "--fail", "--get", "--max-time", "10")
        result = completed([*inside, *curl, *words, url], check=False)
        return json.loads(result.stdout)["data"] if result.stdout else {}

    def targets(self) -> dict[str, str]:
        """The health of each target by its address and port."""
        found = self.ask("targets", state="active").get("activeTargets", ())
        return {target["labels"]["instance"]: target["health"] for target in found}

    def firing(self) -> list[dict[str, str]]:
        """The labels of the alerts that fire now."""
        found = self.ask("alerts").get("alerts", ())
        return [each["labels"] for each in found if each["state"] == "firing"]

    def fires(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether an alert of that name fires with those labels, among others."""
        wanted = {"alertname": name, **labels}
        return any(wanted.items() <= found.items() for found in self.firing())

    def fired(self, since: float) -> list[dict[str, str]]:
        """The labels of the alerts that fired at any time since."""
        found = self.ask(
            "query_range",
            query='ALERTS{alertstate="firing"}',
            start=str(since),
            end=str(time.time()),
            step="1",
        )
        return [series["metric"] for series in found["result"]]


OPEN = """
import boto3, sys
ec2 = boto3.client("ec2")
verb, port, source, *nodes = sys.argv[1:]
interfaces = ec2.describe_network_interfaces(
    Filters=[{"Name": "private-ip-address", "Values": nodes}]
)["NetworkInterfaces"]
groups = [{group["GroupId"] for group in found["Groups"]} for found in interfaces]
getattr(ec2, f"{verb}_security_group_ingress")(
    GroupId=min(set.intersection(*groups)),
    IpPermissions=[
        {
            "IpProtocol": "tcp",
            "FromPort": int(port),
            "ToPort": int(port),
            "IpRanges": [{"CidrIp": source, "Description": "kept: Prometheus"}],
        }
    ],
)
"""
INSTALL = f"""
apt-get -qq -y --no-install-recommends install prometheus-node-exporter
cd /etc/default
echo 'ARGS="--web.listen-address=:{EXPORTER_PORT}"' >prometheus-node-exporter
systemctl -q enable prometheus-node-exporter
systemctl restart prometheus-node-exporter
"""


@contextmanager
def exporters(system: System) -> Iterator[None]:
    """Load balancers that have Debian's node exporter, as the documents say."""
    nodes = system.addresses("load-balancer")
    source = f"{facts.OPERATOR_STATION.address}/32"
    where = (str(EXPORTER_PORT), source, *nodes.values())
    system.python(OPEN, "authorize", *where)
    for node in nodes:
        system.node(node, f"export DEBIAN_FRONTEND=noninteractive\n{INSTALL}")
    try:
        yield
    finally:
        for node in nodes:
            system.node(node, "systemctl -q disable --now prometheus-node-exporter")
        system.python(OPEN, "revoke", *where)


@contextmanager
def prometheus(system: System, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the project's files; addresses and durations are the lab's."""
    text = (FOLDER / "prometheus.yaml").read_text()
    own = system.addresses("load-balancer")
    for there, here in (
        ("10.60.0.11", own["lb-1"]),
        ("10.60.1.11", own["lb-2"]),
        ("portway-prod", facts.STACK),
        ("_interval: 15s", "_interval: 1s"),
    ):
        assert there in text
        text = text.replace(there, here)
    (folder / "prometheus.yaml").write_text(text)
    (folder / "alerts.yaml").write_text(faster((FOLDER / "alerts.yaml").read_text()))
    words = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:9090",
        "--log.level=warn",
    )
    inside = namespaces.inside(Lab(system.name), OPERATOR)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*inside, *words], stdout=log, stderr=log)
        try:
            found = Prometheus(system)
            wait_until(lambda: len(found.targets()) == 4, 30, "targets")
            wait_until(
                lambda: set(found.targets().values()) == {"up"}, 15, "metrics of all"
            )
            yield found
        finally:
            process.terminate()
            process.wait()
            print((folder / "log").read_text())
