"""HAProxy as Portway configures it, on loopback, before applications of a test."""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from portway.contract.paths import HAPROXY_CONFIG
from portway.model.build import build_cluster
from portway.model.cluster import Cluster
from portway.model.stack import Ports
from portway.render.load_balancer import load_balancer
from tests.integration.ports import free_ports
from tests.unit.samples import clients, settings, stack

LOAD_BALANCER = "127.0.0.1"
APPLICATIONS = ("127.0.0.2", "127.0.0.3")
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin") or "haproxy"

Conversation = Callable[[socket.socket], None]


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Look until a condition holds; fail when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@contextmanager
def listening(address: str, port: int, converse: Conversation) -> Iterator[None]:
    """A server that holds one conversation with each who connects."""
    server = socket.create_server((address, port))
    accepted: list[socket.socket] = []

    def hold(connection: socket.socket) -> None:
        with connection:
            try:
                converse(connection)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                accepted.append(server.accept()[0])
            except OSError:
                return
            threading.Thread(target=hold, args=(accepted[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in accepted:
            connection.close()


def healthy(connection: socket.socket) -> None:
    """The application's health port, when all is well."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def echo(connection: socket.socket) -> None:
    """An application that acknowledges whatever it is sent."""
    while data := connection.recv(4096):
        connection.sendall(data)


@dataclass
class Balancer:
    """A running HAProxy."""

    folder: Path
    cluster: Cluster
    process: subprocess.Popen[bytes]
    log: list[str] = field(default_factory=list)
    """Every line that it has logged."""

    def lines(self, client: str) -> list[dict[str, str]]:
        """The lines about a client's connections, as fields by name."""
        return [
            dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
            for line in self.log
            if f"client={client} " in line
        ]

    def ask(self, command: str) -> str:
        """The answer to a command on the admin socket."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.folder / "admin.sock"))
            admin.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()

    def up(self) -> int:
        """How many servers are up."""
        rows = [row.split(",") for row in self.ask("show stat -1 4 -1").splitlines()]
        return sum(len(row) > 17 and row[17].startswith("UP") for row in rows)


def cluster_of(
    entries: list[dict[str, Any]], health: int, stats: int, **changes: Any
) -> Cluster:
    """A cluster on loopback."""
    plain = stack(ports=Ports(1024, 65535, health, stats))
    addresses = {
        "lb-1": LOAD_BALANCER,
        **{f"app-{n}": a for n, a in enumerate(APPLICATIONS, 1)},
    }
    nodes = tuple(
        replace(node, address=addresses.get(node.name, node.address))
        for node in plain.nodes
    )
    networks = changes.pop("operator_networks", ())
    found = replace(plain, nodes=nodes, operator_networks=networks)
    return build_cluster(found, settings(**changes), clients(*entries))


def text_of(cluster: Cluster, folder: Path, log: int) -> str:
    """The configuration of a load balancer, for a process that anyone may run."""
    wanted = load_balancer(cluster, cluster.load_balancer("lb-1"))
    text = wanted.file(str(HAPROXY_CONFIG)).content
    text = re.sub(r"(?m)^ +(chroot|user|group) .*\n", "", text)
    text = text.replace("/run/haproxy/", f"{folder}/")
    text = text.replace("bind :", f"bind {LOAD_BALANCER}:")  # the rest is applications'
    assert "log /dev/log local0" in text
    return text.replace("/dev/log", f"127.0.0.1:{log}")


@contextmanager
def balancer(
    folder: Path,
    entries: list[dict[str, Any]],
    edit: Callable[[str], str] = str,
    inside: tuple[str, ...] = (),
    **changes: Any,
) -> Iterator[Balancer]:
    """HAProxy with these clients; ``changes`` are settings and ports.

    ``edit`` may change the configuration, and ``inside`` be a command that starts it
    elsewhere.
    """
    health, stats = changes.pop("health"), changes.pop("stats", free_ports(1)[0])
    cluster = cluster_of(entries, health, stats, **changes)
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    config = folder / "haproxy.cfg"
    config.write_text(edit(text_of(cluster, folder, receiver.getsockname()[1])))
    process = subprocess.Popen([*inside, HAPROXY, "-f", str(config)])
    found = Balancer(folder, cluster, process)

    def receive() -> None:
        while data := receiver.recv(65536):
            found.log.append(data.decode())

    threading.Thread(target=receive, daemon=True).start()
    try:
        wait_until((folder / "admin.sock").exists)
        yield found
    finally:
        process.terminate()
        process.wait(10)
