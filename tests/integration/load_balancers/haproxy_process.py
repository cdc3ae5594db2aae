"""A HAProxy with the configuration that Portway renders, and application nodes.

Scripts run as they do on a load balancer, but for the places of files and sockets.
"""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from portway.contract.paths import (
    ADMIN_SOCKET,
    HAPROXY_CONFIG,
    LOADED_FOLDER,
    MASTER_SOCKET,
    RELOAD_REASON,
    SERVER_STATES,
)
from portway.errors import PortwayError
from portway.load_balancers.console import Console
from portway.load_balancers.loading import RunningFacts, load
from portway.load_balancers.runtime import RunningHaproxy
from portway.load_balancers.server_changes import RunningServer, how_to_load
from portway.model.build import build_cluster
from portway.model.clients import Client, Clients
from portway.model.cluster import Cluster
from portway.model.stack import Role
from portway.render.load_balancer import load_balancer
from tests.integration.ports import free_port
from tests.unit.samples import node, settings, stack

BALANCER = "127.0.2.1"
NODE = "127.0.3.{}"
UNPRIVILEGED = re.compile(r"^ +(chroot|user|group|log) .*\n", re.MULTILINE)
Nodes = dict[str, int]
"""The last part of the address of each application node, by its name."""


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


class WebPage(BaseHTTPRequestHandler):
    """Answers everything, also health checks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if getattr(self.server, "healthy", True) else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Application:
    """An application node: it answers everything with its own address."""

    def __init__(self, address: str, ports: list[int], health: int) -> None:
        self.address = address
        self._accepted: list[socket.socket] = []
        self._servers = [socket.create_server((address, port)) for port in ports]
        for server in self._servers:
            self._run(self._accept, server)
        self._health = ThreadingHTTPServer((address, health), WebPage)
        self.healthy = True
        self._run(self._health.serve_forever, 0.05)

    @property
    def healthy(self) -> bool:
        return bool(self._health.healthy)  # type: ignore[attr-defined]

    @healthy.setter
    def healthy(self, value: bool) -> None:
        self._health.healthy = value  # type: ignore[attr-defined]

    def stop(self) -> None:
        self._health.shutdown()
        self._health.server_close()
        for each in (*self._servers, *self._accepted):
            with suppress(OSError):  # wakes the thread that waits for it
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                stream = server.accept()[0]
            except OSError:
                return
            self._accepted.append(stream)
            self._run(self._answer, stream)

    def _answer(self, stream: socket.socket) -> None:
        try:
            while stream.recv(1000):
                stream.sendall(f"{self.address}\n".encode())
        except OSError:
            pass
        finally:
            stream.close()

    @staticmethod
    def _run(target: Callable[..., object], *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()


class Stream:
    """A client's connection that stays open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((BALANCER, port), 5)
        self._socket.settimeout(5)
        self.node = self.ask()

    def ask(self) -> str:
        """Which node answers; "" if the stream was closed."""
        try:
            self._socket.sendall(b"message\n")
            return self._socket.recv(1000).decode().strip()
        except OSError:
            return ""

    def close(self) -> None:
        self._socket.close()


@dataclass
class Haproxy:
    """HAProxy, and how Portway brings it to a configuration."""

    folder: Path
    clients: tuple[dict[str, Any], ...]
    settings: dict[str, Any] = field(default_factory=dict)
    health: int = field(default_factory=free_port)
    stats: int = field(default_factory=free_port)
    downinter: str = "1s"
    """How soon the first check of a new node is made."""
    said: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "haproxy.cfg"

    def cluster(self, nodes: Nodes, **changes: Any) -> Cluster:
        """The cluster whose load balancer this is, with these application nodes."""
        found = stack(0)
        balancers = [
            replace(n, address=f"127.0.2.{i}") for i, n in enumerate(found.nodes, 1)
        ]
        applications = [
            node(name, Role.APPLICATION, 10 + n, address=NODE.format(n))
            for name, n in nodes.items()
        ]
        found = replace(
            found,
            nodes=(*balancers, *applications),
            ports=replace(found.ports, health=self.health, stats=self.stats),
        )
        entries = tuple(
            map(Client.model_validate, changes.pop("clients", self.clients))
        )
        return build_cluster(
            found,
            settings(threads=2, **{**self.settings, **changes}),
            Clients("clients.json", entries, None),
        )

    def rendered(self, nodes: Nodes, **changes: Any) -> str:
        """What Portway wants HAProxy to run, with these application nodes."""
        cluster = self.cluster(nodes, **changes)
        lb = cluster.load_balancer("lb-1")
        text = load_balancer(cluster, lb).file(str(HAPROXY_CONFIG)).content
        text = text.replace("bind :", f"bind {BALANCER}:")
        text = text.replace("downinter 1s", f"downinter {self.downinter}")
        return self.placed(UNPRIVILEGED.sub("", text))

    def placed(self, text: str) -> str:
        """A script or a configuration with the places that this HAProxy uses."""
        for path, name in (
            (ADMIN_SOCKET, "admin.sock"),
            (MASTER_SOCKET, "master.sock"),
            (HAPROXY_CONFIG, "haproxy.cfg"),
            (LOADED_FOLDER, "loaded"),
            (SERVER_STATES, "states"),
            (RELOAD_REASON, "reason"),
        ):
            text = text.replace(str(path), str(self.folder / name))
        return text

    def start(self, nodes: Nodes) -> None:
        """Start it, as its unit does, with the nodes of a stack."""
        self.config.write_text(self.rendered(nodes))
        (self.folder / "states").write_text("1\n")
        loaded = self.folder / "loaded"
        loaded.mkdir(exist_ok=True)
        (loaded / "haproxy.cfg").write_text(self.config.read_text())
        self.shell(f"sha256sum <{self.config} >{loaded}/haproxy")
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["haproxy", "-W", "-f", self.config, "-S", self.folder / "master.sock"],
            stdout=log,
            stderr=log,
        )
        wait_until(lambda: bool(self.running().servers))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def shell(self, script: str, stdin: str = "") -> list[str]:
        """Run a script as on the node; PortwayError if it fails."""
        pid = self.process.pid if self.process else 0
        script = self.placed(script).replace(
            "systemctl reload haproxy", f"{self._before_reload()}; kill -USR2 {pid}"
        )
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise PortwayError(done.stderr)
        return done.stdout.splitlines()

    def _before_reload(self) -> str:
        """What its unit runs before a reload."""
        folder = self.folder
        program = (
            "from pathlib import Path; from portway.node.before_reload import *; "
            f"f = Path('{folder}'); "
            "keep_states(f / 'admin.sock', f / 'haproxy.cfg', f / 'states'); "
            "note_reload(f / 'reason', f / 'reloads', f / 'metrics.prom')"
        )
        return f'{sys.executable} -c "{program}"'

    def reload(self) -> None:
        """Reload it as someone other than Portway does."""
        before = self.reloads()
        self.shell("systemctl reload haproxy")
        wait_until(lambda: self.reloads() == before + 1)
        wait_until(lambda: bool(self.running().servers))

    def console(self, drain: float = 0, leaving: Collection[str] = ()) -> Console:
        return Console(self.shell, self.said.append, drain, leaving)

    def running(self) -> RunningHaproxy:
        facts = RunningFacts()
        return facts.process(self.shell(facts.command()))

    def servers(self) -> dict[str, RunningServer]:
        return {server.path: server for server in self.console().servers()}

    def deploy(
        self,
        nodes: Nodes,
        drain: float = 0,
        leaving: Collection[str] = (),
        **changes: Any,
    ) -> Any:
        """Bring it to other nodes as a deploy does. Returns what was planned."""
        text = self.rendered(nodes, **changes)
        self.config.write_text(text)
        running = self.running()
        plan = how_to_load(running.loaded, text, running.servers, running.leaving)
        load(self.console(drain, leaving), plan, text, running)
        return plan

    def is_recorded(self) -> bool:
        """Whether the node knows that it runs what is on disk."""
        record = self.folder / "loaded" / "haproxy"
        digest = self.shell(f"sha256sum <{self.config}")[0]
        return record.exists() and record.read_text().strip() == digest

    def workers(self) -> int:
        """How many workers there are, the newest among them."""
        return sum(row[1] == "worker" for row in self._processes())

    def reloads(self) -> int:
        """How often it was reloaded."""
        return int(next(row[2] for row in self._processes() if row[1] == "master"))

    def _processes(self) -> list[list[str]]:
        script = f'echo "show proc" | socat -t5 - UNIX-CONNECT:{MASTER_SOCKET} || :'
        rows: list[list[str]] = []

        def ask() -> bool:  # the master does not listen for a moment after a reload
            rows[:] = [line.split() for line in self.shell(script)]
            return bool(rows)

        wait_until(ask)
        return [row for row in rows if row and row[0].isdigit()]


def applications(
    haproxy: Haproxy, numbers: range, ports: list[int]
) -> Generator[dict[str, Application]]:
    """Application nodes by address, until the generator is closed."""
    found = {}
    try:
        for number in numbers:
            address = NODE.format(number)
            found[address] = Application(address, ports, haproxy.health)
        yield found
    finally:
        for application in found.values():
            application.stop()
