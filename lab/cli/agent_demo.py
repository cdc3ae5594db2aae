"""Shows nodes that deploy to themselves: AWS terminates two, nobody does anything."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.aws import stack
from lab.cli.demo import call
from lab.errors import LabError
from lab.ground import namespaces, shell
from lab.ground.progress import say, step
from lab.lifecycle import status
from lab.lifecycle.follow import look
from lab.lifecycle.lock import alone
from lab.lifecycle.up import up
from lab.machines import hosts
from lab.plan import facts, records
from lab.plan.names import OPERATOR, Lab
from lab.plan.project import PROJECT
from lab.plan.records import Host
from lab.traffic.load import Load, missing, tcp_ports

PORTWAY = (sys.executable, "-m", "portway.cli.main")
INVENTORY = "inventories/lab.py"
AUTHORITIES = "database-authorities.pem"
CLIENTS = 6
WHOLE_SECONDS = 300
TELL_EVERY = 5.0
USED = """
[ "$(systemctl is-active keepalived)" = active ] || echo unwell
echo show servers state | socat -t5 - UNIX-CONNECT:/run/haproxy/admin.sock |
    awk 'NF > 18 && $1 ~ /^[0-9]/ && $6 == 2 && $7 == 0 { print "uses", $5 }'
"""


def run(lab: Lab) -> None:
    """Bring the lab up, have its nodes deploy to themselves, and terminate two."""
    up(lab)
    call(lab, "run", "--", "pyinfra", INVENTORY, "deploys/site.py", "-y")
    _begin(lab)
    found = status.read(lab)
    address, holder = found["address"]["address"], str(found["address"]["holder"])
    nodes = {node["node"]: node for node in found["nodes"]}
    lost = [nodes[holder], nodes["app-1"]]
    _wait(lab, set(), "the nodes have deployed to themselves")
    with Load.start(lab, address, tcp_ports(), CLIENTS) as load:
        load.wait_until_served()
        began = time.monotonic()
        for node in lost:
            say(f"AWS terminates {node['node']} ({node['instance_id']})")
            with namespaces.within(lab, OPERATOR):
                stack.terminate(node["instance_id"])
        _wait(lab, {node["instance_id"] for node in lost}, "all is whole again")
        took = time.monotonic() - began
        load.wait_until_served(time.time())
        report = load.stop()
    lacking = missing(lab, report)
    gap = max(gap.seconds for gap in report.longest_gaps())
    print(
        f"\nWhole again {took:.0f} s after they were terminated, and nobody deployed. "
        f"Meanwhile {len(report.acknowledged)} messages were acknowledged, "
        f"{len(lacking)} of them are not in the database; no client waited longer "
        f"than {gap:.1f} s.\n\nThe lab is up. Take it down:\n"
        "    .venv/bin/python -m lab down",
        flush=True,
    )
    if lacking:
        raise LabError(f"{len(lacking)} acknowledged messages were lost")


def _begin(lab: Lab) -> None:
    """What docs/agent.md has a user do."""
    secret = ("--artifactory-secret", facts.ARTIFACTORY_SECRET)
    words = (*PORTWAY, "agent", "parameters", "--json", *secret)
    parameters = json.loads(call(lab, "run", "--", *words, capture=True))
    with namespaces.within(lab, OPERATOR):
        stack.ensure_agent(parameters)
    with TemporaryDirectory() as folder:
        with step("building a release of this checkout's last commit"):
            archive = _build(lab, Path(folder))
        call(lab, "run", "--", *PORTWAY, "release", "publish", str(archive))
    often = ("--data", "agent_look_interval=30")
    call(lab, "run", "--", "pyinfra", INVENTORY, "deploys/agent.py", "-y", *often)
    first_boot = (*PORTWAY, "agent", "first-boot", INVENTORY)
    text = call(lab, "run", "--", *first_boot, capture=True).strip()
    with namespaces.within(lab, OPERATOR):
        stack.give({"UserData": text})


def _build(lab: Lab, folder: Path) -> Path:
    """A release with the authority of the lab's database, as a user would commit it."""
    checkout = folder / "checkout"
    shell.output(["git", "clone", "--quiet", PROJECT, checkout])
    authority = lab.directory / "authority" / "authority.pem"
    (checkout / AUTHORITIES).write_bytes(authority.read_bytes())
    with (checkout / "group_data" / "lab.py").open("a") as settings:
        settings.write(f'\ndatabase_ca_file = "{AUTHORITIES}"\n')
    machine = "debian13-arm64" if platform.machine() == "aarch64" else "debian13-amd64"
    done = subprocess.run(  # noqa: S603 - the project's own command
        [*PORTWAY, "release", "build", "--for", machine, "--uncommitted", "--json"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"no release was built: {done.stderr.strip()}")
    return checkout / str(json.loads(done.stdout)["file"])


def _wait(lab: Lab, gone: set[str], what: str) -> None:
    """Follow AWS until every node is there and used, and say what is missing."""
    began, told = time.monotonic(), 0.0
    settled: set[Host] = set()
    while True:
        with alone(lab):
            look(lab, settled)
        lacking = list(_lacking(lab, gone))
        now = time.monotonic()
        if not lacking:
            say(what)
            return
        if now - began > WHOLE_SECONDS:
            raise LabError(f"not within {WHOLE_SECONDS} s: {'; '.join(lacking)}")
        if now - told >= TELL_EVERY:
            told = now
            say("; ".join(lacking))
        time.sleep(1)


def _lacking(lab: Lab, gone: set[str]) -> Iterator[str]:
    """What is not whole: each node whose instance is gone, or that is not used."""
    there = {host.node: host for host in records.hosts(lab)}
    pair = {node: host for node, host in there.items() if host.role == "load-balancer"}
    if len(pair) < 2:
        yield f"{2 - len(pair)} load balancers are missing"
    used = {node: _used(lab, host) for node, host in pair.items()}
    for node, host in there.items():
        if host.instance_id in gone:
            yield f"{node} is gone"
        elif node in used and used[node] is None:
            yield f"{node} does not take part"
        elif host.role == "application":
            yield from _unused(node, host, used)


def _unused(
    node: str, host: Host, used: Mapping[str, set[str] | None]
) -> Iterator[str]:
    """The load balancers that send a node no clients."""
    for lb, addresses in used.items():
        if addresses is not None and host.address not in addresses:
            yield f"{lb} does not use {node}"


def _used(lab: Lab, host: Host) -> set[str] | None:
    """The addresses of the nodes that a load balancer uses; None if it is not well."""
    try:
        said = shell.output(hosts.inside(lab, host, ["sh", "-c", USED]))
    except LabError:
        return None
    lines = said.splitlines()
    if "unwell" in lines:
        return None
    return {line.removeprefix("uses ") for line in lines if line.startswith("uses ")}
