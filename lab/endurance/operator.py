"""Runs of deploys, and what AWS and the application nodes say about them."""

import os
import re
import subprocess
from collections.abc import Sequence
from configparser import RawConfigParser
from pathlib import Path

from lab.errors import LabError
from lab.failover.world import PYINFRA
from lab.faults import interface as faults
from lab.ground import namespaces, shell
from lab.machines import commands, hosts, operator
from lab.plan import facts, records
from lab.plan.names import OPERATOR, Lab
from lab.plan.project import PROJECT

CARRIES = ("DescribeInstances", "DescribeAutoScalingGroups")
"""The calls whose answers say which application nodes there are."""
APPLICATION_CONFIG = "etc/message-app/message-app.conf"
SHOWN = 6
"""How many lines of a failed run a report repeats."""

_LOG = re.compile(r"^(\d+\.\d+) .*source=[0-9.]+:(\d+) .*end=(\S\S)", re.MULTILINE)
ENDINGS = {
    "K": "HAProxy was told to close it",
    "D": "its node was down",
    "S": "its node ended it",
    "s": "its node was silent for idle_timeout",
    "C": "its client ended it",
    "c": "its client was silent for idle_timeout",
    "-": "both sides had ended",
    "L": "HAProxy itself ended it",
    "R": "HAProxy had no resources",
    "P": "HAProxy refused it",
}
"""What the first letter of HAProxy's termination state means."""


def deploy(lab: Lab, what: str, *options: str) -> str:
    """Run a deploy as the operator; its output, or LabError with the end of it."""
    done = subprocess.run(  # noqa: S603 - the project's own deploys
        [
            *namespaces.inside(lab, OPERATOR),
            PYINFRA,
            "inventories/lab.py",
            f"deploys/{what}.py",
            "-y",
            *options,
        ],
        cwd=PROJECT,
        env={**os.environ, **commands.environment(lab)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    if done.returncode:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        end = " / ".join(lines[-SHOWN:])
        raise LabError(f"deploys/{what}.py ended with status {done.returncode}: {end}")
    return text


def forget_names(lab: Lab) -> None:
    """Reach nodes by address, as on a user's machine: names change their instances."""
    operator.configure(lab)


def answered(lab: Lab, since: float) -> float:
    """When AWS had told the first run since a moment which nodes there are; or 0."""
    found: dict[str, float] = {}
    for call in faults.calls(lab, since):
        if call.source == facts.OPERATOR_STATION.address and call.action in CARRIES:
            found.setdefault(call.action, call.at + call.seconds)
    return max(found.values(), default=0.0)


def called(lab: Lab) -> dict[str, str]:
    """The address of each application node, by what it calls itself to clients."""
    found = {}
    for host in records.hosts(lab):
        path = hosts.root(lab, host) / APPLICATION_CONFIG
        if host.role == "application" and path.exists():
            parser = RawConfigParser()
            parser.read_string(path.read_text())
            found[parser["application"]["node"]] = host.address
    return found


def endings(
    lab: Lab, nodes: Sequence[str], since: float
) -> list[tuple[float, int, str]]:
    """When and why HAProxy says that connections ended, with the client's port."""
    known = {host.node: host for host in records.hosts(lab)}
    read = ["journalctl", "-q", "-u", "haproxy", f"--since=@{since:.0f}"]
    found = []
    for node in nodes:
        words = hosts.inside(lab, known[node], [*read, "-o", "short-unix"])
        for at, port, state in _LOG.findall(shell.output(words)):
            why = f"{ENDINGS.get(state[0], 'unknown')} ({state})"
            found.append((float(at), int(port), why))
    return found


def clients_file(lab: Lab) -> Path:
    """Where a run keeps the clients that it deploys."""
    return lab.directory / "endurance-clients.json"
