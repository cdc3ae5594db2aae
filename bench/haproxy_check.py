"""What ``haproxy -c`` costs: shared backends against a ``listen`` per client.

``python -m bench.haproxy_check [CLIENTS [NODES]]`` renders the project's own
configuration and the peer's, and prints time and peak memory of validating each.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from portway.contract.address import AddressKind, AddressObject
from portway.contract.paths import HAPROXY_CONFIG
from portway.model.build import build_cluster
from portway.model.clients import Client, Clients
from portway.model.cluster import Cluster
from portway.model.settings import Settings
from portway.model.stack import Database, Node, Ports, Role, Stack, VirtualAddress
from portway.render.load_balancer import load_balancer

HAPROXY = "/usr/sbin/haproxy"


@dataclass(frozen=True)
class Cost:
    """Seconds and peak resident MiB of one command."""

    seconds: float
    mebibytes: float


def sample_cluster(clients: int, nodes: int) -> Cluster:
    """A cluster of so many clients and application nodes."""

    def node(number: int, role: Role, name: str) -> Node:
        return Node(
            instance_id=f"i-{number:017x}",
            name=name,
            role=role,
            address=f"10.60.0.{number}",
            zone="a",
            subnet_id="subnet-0",
            interface_id=f"eni-{number}",
            launched_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    stack = Stack(
        name="bench",
        region="eu-central-1",
        nodes=(
            node(4, Role.LOAD_BALANCER, "lb-1"),
            node(5, Role.LOAD_BALANCER, "lb-2"),
            *(node(10 + n, Role.APPLICATION, f"app-{n}") for n in range(nodes)),
        ),
        database=Database("db", "postgres", "db", 5432, "messages", "", ""),
        virtual_address=VirtualAddress(
            AddressKind.ELASTIC_IP, "203.0.113.10", (AddressObject("eipalloc-0"),)
        ),
        ports=Ports(1024, 65535, health=8081, stats=8404),
    )
    entries = tuple(
        Client(client_name=f"client-{n}", client_port=10_000 + n)
        for n in range(clients)
    )
    settings = Settings(clients_file="clients.json")
    return build_cluster(stack, settings, Clients("clients.json", entries, None))


def shared_backends(cluster: Cluster) -> str:
    """The project's own configuration."""
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    return wanted.file(str(HAPROXY_CONFIG)).content


def listen_each(cluster: Cluster) -> str:
    """The peer: the same global part, then a ``listen`` with checks per client."""
    ours = shared_backends(cluster)
    lines = [ours[: ours.index("\nfrontend client-")]]
    (backend,) = cluster.backends
    for frontend in cluster.frontends:
        lines += [
            f"listen {frontend.name}",
            "    mode tcp",
            f"    bind :{frontend.port}",
            "    balance leastconn",
            "    option httpchk GET /health",
        ]
        lines += [f"    server {s.name} {s.address}" for s in backend.servers]
    return "\n".join(lines) + "\n"


def cost_of_check(config: str) -> Cost:
    """Validate a configuration and measure that process alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(config)
        file.flush()
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - a fixed program
            [HAPROXY, "-c", "-f", file.name], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit("haproxy refused the configuration")
    return Cost(seconds, usage.ru_maxrss / 1024)


def main(clients: int = 10_000, nodes: int = 20) -> None:
    """Measure both and print them."""
    cluster = sample_cluster(clients, nodes)
    started = time.monotonic()
    ours_text = shared_backends(cluster)
    rendering = time.monotonic() - started
    ours = min((cost_of_check(ours_text) for _ in range(3)), key=lambda c: c.seconds)
    peer = cost_of_check(listen_each(cluster))
    version = subprocess.run(  # noqa: S603 - a fixed program
        [HAPROXY, "-v"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    print(f"{version}; {clients} clients, {nodes} nodes; rendered in {rendering:.2f} s")
    for name, cost in (("shared backends", ours), ("listen per client", peer)):
        print(f"{name:<18} {cost.seconds:6.2f} s {cost.mebibytes:7.0f} MiB")
    print(
        f"ratio              {peer.seconds / ours.seconds:6.1f}   "
        f"{peer.mebibytes / ours.mebibytes:7.1f}"
    )


if __name__ == "__main__":
    if not Path(HAPROXY).exists():
        sys.exit("HAProxy is missing: apt-get install haproxy")
    main(*map(int, sys.argv[1:]))
