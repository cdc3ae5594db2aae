"""A load balancer on loopback: real HAProxy from the real template, nodes, clients.

Application nodes are addresses of this process, so that it sees every connection that
reaches them, and knows at once whether another one was still open.
"""

import itertools
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from portway.contract.paths import (
    ADMIN_SOCKET,
    HAPROXY_CONFIG,
    LOADED_FOLDER,
    MASTER_SOCKET,
)
from portway.contract.reloads import Reason
from portway.load_balancers.configuration import parse
from portway.load_balancers.console import Console
from portway.load_balancers.runtime import RunningHaproxy, change_servers
from portway.load_balancers.server_changes import ServerChange, how_to_load
from portway.model.build import build_cluster
from portway.model.cluster import Cluster, Server
from portway.node.streams.haproxy import Haproxy
from portway.render.load_balancer import load_balancer
from portway.render.streams import streams_config
from tests.integration.ports import free_ports
from tests.unit.samples import clients, settings, stack

KEEPER = """
import sys
from pathlib import Path
from portway.contract import paths
folder = Path(sys.argv[1])
paths.ADMIN_SOCKET = folder / "admin.sock"
paths.MASTER_SOCKET = folder / "master.sock"
paths.STREAMS_CONFIG = folder / "streams.json"
paths.STREAMS_STATUS = folder / "status.json"
paths.STREAMS_METRICS_FILE = folder / "streams.prom"
from portway.node.streams.__main__ import main
sys.exit(main())
"""


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def is_open(stream: socket.socket) -> bool:
    """Whether the other side has not ended it; nothing is read from it."""
    try:
        readable, _, _ = select.select([stream], [], [], 0)
        return not readable or stream.recv(1, socket.MSG_PEEK) != b""
    except (OSError, ValueError):
        return False


def is_probe(stream: socket.socket) -> bool:
    """Whether somebody only looked if the port is open."""
    select.select([stream], [], [], 0.1)
    return not is_open(stream)


@dataclass
class Node:
    """An application node: echoes its name for each message, and has a health page."""

    name: str
    address: str
    healthy: bool = True
    delay: float = 0.005
    open: list[tuple[int, socket.socket]] = field(default_factory=list)
    """Connections that it has not seen end, each with the port it came to."""

    def serve_client(self, port: int, stream: socket.socket) -> bool:
        """Answer until it ends; whether it has ever sent anything."""
        sent = False
        with suppress(OSError):
            while stream.recv(4096):
                sent = True
                time.sleep(self.delay)
                stream.sendall(self.name.encode())
        self.open.remove((port, stream))
        stream.close()
        return sent

    def serve_health(self, stream: socket.socket) -> None:
        with suppress(OSError), stream:
            stream.recv(4096)
            status = "200 OK" if self.healthy else "503 Unavailable"
            stream.sendall(f"HTTP/1.0 {status}\r\n\r\n".encode())


@dataclass
class Balancer:
    """HAProxy and what is around it."""

    folder: Path
    nodes: list[Node]
    ports: list[int]
    cluster: Cluster
    process: subprocess.Popen[bytes]
    keeper: subprocess.Popen[bytes] | None = None
    servers: dict[tuple[str, int], socket.socket] = field(default_factory=dict)
    """What listens, by the node's address and port."""
    overlaps: list[str] = field(default_factory=list)
    """Each connection that came while another node still had one of its client's."""

    @property
    def haproxy(self) -> Haproxy:
        return Haproxy(self.folder / "admin.sock", self.folder / "master.sock")

    def accept(self, node: Node, port: int, server: socket.socket) -> None:
        """Take every connection, and see who else has one on this port."""
        while True:
            try:
                stream, _ = server.accept()
            except OSError:
                return
            if is_probe(stream):
                stream.close()
                continue
            node.open.append((port, stream))
            found = []
            for other in self.nodes:
                live = [s for p, s in list(other.open) if p == port and is_open(s)]
                if other is not node and live:
                    what = f"{node.address} beside {other.address}"
                    found.append(f"{time.monotonic():.3f} {what}")
            self.overlaps += found
            arguments = (node, port, stream, found)
            threading.Thread(target=self.serve, args=arguments, daemon=True).start()

    def serve(
        self, node: Node, port: int, stream: socket.socket, overlaps: list[str]
    ) -> None:
        """Serve a client. One that was only a slow probe is beside nobody."""
        if not node.serve_client(port, stream):
            for text in overlaps:
                self.overlaps.remove(text)

    def live(self, port: int) -> dict[str, int]:
        """How many open streams of a client each node has, where there are any."""
        found = {
            node.name: sum(p == port and is_open(s) for p, s in list(node.open))
            for node in self.nodes
        }
        return {name: count for name, count in found.items() if count}

    def addresses(self, port: int) -> set[str]:
        """The addresses of nodes with open streams of a client."""
        return {
            node.address
            for node in self.nodes
            if any(p == port and is_open(s) for p, s in list(node.open))
        }

    def active(self, port: int) -> str:
        """The one node with streams of a client; "" for none or several."""
        return "".join(found) if len(found := self.live(port)) == 1 else ""

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def set_state(self, name: str, state: str) -> None:
        """As an operator's run does it."""
        for backend in self.cluster.backends:
            self.command(f"set server {backend.name}/{name} state {state}")

    def close_port(self, name: str, port: int) -> None:
        """Have a node refuse a client's new connections."""
        self.servers.pop((self.node(name).address, port)).shutdown(socket.SHUT_RDWR)

    def open_port(self, name: str, port: int) -> None:
        self.listen_on(self.node(name), port)

    def command(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.folder / "admin.sock"))
            s.sendall(f"{text}\n".encode())
            return s.makefile().read()

    def reload(self) -> None:
        before = self.pid()
        self.process.send_signal(signal.SIGUSR2)
        wait_until(self.is_served_by_another_than(before))

    def is_served_by_another_than(self, before: int) -> Callable[[], bool]:
        def replaced() -> bool:
            try:
                newest, _ = self.haproxy.workers()
                return newest not in (0, before) and self.pid() == newest
            except OSError:  # the master is being replaced, too
                return False

        return replaced

    def pid(self) -> int:
        lines = self.command("show info").splitlines()
        return next((int(line[5:]) for line in lines if line.startswith("Pid: ")), 0)

    def configure(self, **changes: Any) -> None:
        """Write the keeper's config, and restart it if it runs."""
        config = replace(streams_config(self.cluster, ""), **changes)
        (self.folder / "streams.json").write_text(config.to_json())
        if self.keeper:
            status = self.folder / "status.json"
            wait_until(status.exists)  # it has only just started
            self.stop_keeper()
            status.rename(status.with_suffix(".old"))
            self.start_keeper()
            wait_until(status.exists)

    def listen(self, node: Node) -> None:
        """Serve as an application node from now on."""
        for port in self.ports:
            self.listen_on(node, port)
        health = self.cluster.stack.ports.health
        server = socket.create_server((node.address, health), backlog=200)
        self.servers[node.address, health] = server
        threading.Thread(target=answer_checks, args=(node, server), daemon=True).start()

    def listen_on(self, node: Node, port: int) -> None:
        server = socket.create_server((node.address, port), backlog=200)
        self.servers[node.address, port] = server
        arguments = (node, port, server)
        threading.Thread(target=self.accept, args=arguments, daemon=True).start()

    def deploy(self, nodes: Sequence[tuple[str, str]]) -> ServerChange | Reason:
        """Bring it to other nodes, by name and address, in the order of a run."""
        config = self.folder / "haproxy.cfg"
        loaded = config.read_text()
        servers = tuple(Server(*each) for each in nodes)
        backends = tuple(replace(b, servers=servers) for b in self.cluster.backends)
        self.cluster = replace(self.cluster, backends=backends)
        self.configure()
        text = adapted(self.cluster, self.folder)
        config.write_text(text)
        console = Console(self.shell, lambda _: None, drain_timeout=1)
        plan = how_to_load(loaded, text, console.servers())
        if isinstance(plan, ServerChange):
            running = RunningHaproxy(loaded, console.servers(), is_interrupted=False)
            change_servers(console, parse(text), plan, running)
        return plan

    def shell(self, script: str, stdin: str) -> list[str]:
        """Run a script as on the load balancer."""
        for path, name in (
            (ADMIN_SOCKET, "admin.sock"),
            (MASTER_SOCKET, "master.sock"),
            (LOADED_FOLDER, ""),
        ):
            script = script.replace(str(path), str(self.folder / name))
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.splitlines()

    def start_keeper(self) -> None:
        self.keeper = subprocess.Popen(
            # As its unit has it.
            ["nice", "-n", "-10", sys.executable, "-c", KEEPER, str(self.folder)],
            stdout=(self.folder / "keeper.log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def stop_keeper(self) -> None:
        assert self.keeper
        self.keeper.kill()
        self.keeper.wait()
        self.keeper = None

    def log(self) -> str:
        """What the keeper said."""
        return (self.folder / "keeper.log").read_text()

    def connect(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), 5)


class Sender(threading.Thread):
    """A client that sends message after message and reconnects whenever it must."""

    def __init__(self, port: int, pause: float = 0.01) -> None:
        super().__init__(daemon=True)
        self.port, self.pause = port, pause
        self.answers: list[tuple[float, str]] = []
        self.unanswered = 0
        """Messages sent on a connection that ended before the answer."""
        self.reconnects = 0
        self._ends, self._again = threading.Event(), threading.Event()

    def run(self) -> None:
        while not self._ends.is_set():
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 5) as stream,
            ):
                self.reconnects += 1
                stream.settimeout(5)
                self._talk(stream)
            time.sleep(0.002)

    def _talk(self, stream: socket.socket) -> None:
        first = True
        while not self._ends.is_set():
            stream.sendall(b"message")
            try:
                answer = stream.recv(100)
            except OSError:
                answer = b""
            if not answer:
                # A first message may meet a connection that nobody serves.
                self.unanswered += not first
                return
            self.answers.append((time.monotonic(), answer.decode()))
            first = False
            time.sleep(self.pause)
            if not is_open(stream) or self._again.is_set():
                self._again.clear()
                return

    def reconnect(self) -> None:
        """End the connection, and make another one."""
        self._again.set()

    def end(self) -> None:
        self._ends.set()
        self.join()

    def gap(self) -> float:
        """Longest time between two answers."""
        times = [when for when, _ in self.answers]
        return max(b - a for a, b in itertools.pairwise(times))


@contextmanager
def senders(port: int, count: int, pause: float = 0.01) -> Iterator[list[Sender]]:
    found = [Sender(port, pause) for _ in range(count)]
    for sender in found:
        sender.start()
    try:
        wait_until(lambda: all(sender.answers for sender in found))
        yield found
    finally:
        for sender in found:
            sender.end()


@contextmanager
def balancer(
    folder: Path,
    entries: Sequence[dict[str, Any]],
    nodes: int = 3,
    binary: str = "haproxy",
    **more: Any,
) -> Iterator[Balancer]:
    """A running load balancer without a keeper; ``entries`` need no port.

    ``more`` are settings.
    """
    *ports, health, stats = free_ports(len(entries) + 2)
    found = [Node(f"app-{n}", f"127.0.0.{n + 10}") for n in range(1, nodes + 1)]
    plain = stack(app_nodes=nodes)
    by_name = {node.name: node.address for node in found}
    members = tuple(
        replace(n, address=by_name.get(n.name, "127.0.0.1")) for n in plain.nodes
    )
    cluster = build_cluster(
        replace(
            plain,
            nodes=members,
            ports=replace(plain.ports, health=health, stats=stats),
        ),
        settings(health_interval=1, health_fall=2, health_rise=1, **more),
        clients(
            *(
                {"client_port": port, **entry}
                for port, entry in zip(ports, entries, strict=True)
            )
        ),
    )
    config = folder / "haproxy.cfg"
    config.write_text(adapted(cluster, folder))
    result = Balancer(folder, found, ports, cluster, None)  # type: ignore[arg-type]
    for node in found:
        result.listen(node)
    result.process = subprocess.Popen(
        [binary, "-W", "-f", str(config), "-S", str(folder / "master.sock")],
        stdout=(folder / "haproxy.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(result.is_served_by_another_than(0))
        result.configure()
        yield result
    finally:
        if result.keeper:
            result.stop_keeper()
        result.process.terminate()
        result.process.wait(10)
        for server in result.servers.values():
            server.close()


def answer_checks(node: Node, server: socket.socket) -> None:
    while True:
        try:
            stream, _ = server.accept()
        except OSError:
            return
        node.serve_health(stream)


def adapted(cluster: Cluster, folder: Path) -> str:
    """HAProxy's configuration as it is rendered, for a place of its own."""
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    lines = wanted.file(str(HAPROXY_CONFIG)).content.splitlines(keepends=True)
    unfit = (
        "    log /dev/log",
        "    chroot ",
        "    user ",
        "    group ",
        "    log global",
    )
    kept = [line for line in lines if not line.startswith(unfit)]
    text = "".join(kept).replace(str(ADMIN_SOCKET), str(folder / "admin.sock"))
    return text.replace("bind :", "bind 127.0.0.1:").replace("option tcplog", "")
