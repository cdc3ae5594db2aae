"""The vendor's application from its own archive, running against a real database."""

import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hl7
import requests
from hl7.client import MLLPClient

from lab.vendor.build import build
from tests.integration.database.places import HOST, Place
from tests.integration.ports import free_port


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def message(control_id: str, body: str = "PID|1") -> str:
    return f"MSH|^~\\&|HIS|WARD|APP|LAB|20260101||ADT^A01|{control_id}|P|2.5\r{body}\r"


def answer(data: bytes) -> tuple[str, str]:
    """The code and the control id that an acknowledgement carries."""
    text = data.decode().removeprefix("\x0b").removesuffix("\x1c\r")
    segment = hl7.parse(text).segment("MSA")
    return str(segment[1]), str(segment[2])


@dataclass
class Running:
    """A process of the application, and its ways in."""

    folder: Path
    place: Place
    version: str = "1.0.0"
    tcp: int = field(default_factory=free_port)
    web: int = field(default_factory=free_port)
    proxied: int = field(default_factory=free_port)
    health: int = field(default_factory=free_port)
    database_port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None
    way: subprocess.Popen[str] | None = None

    @property
    def password(self) -> str:
        return self.place.password

    def write(self) -> None:
        """Unpack the archive and write its configuration."""
        archive = build(self.version, self.folder)
        with tarfile.open(archive) as tar:
            tar.extractall(self.folder, filter="data")
        listeners = ((self.tcp, "tcp", "no"), (self.web, "http", "no"))
        sections = [
            f"[client client-{port}]\nport = {port}\nmode = {mode}\nproxy = {proxy}\n"
            for port, mode, proxy in (*listeners, (self.proxied, "tcp", "yes"))
        ]
        wanted = self.place.wanted
        config = (
            f"[application]\nnode = app-1\nhealth_port = {self.health}\n"
            f"[database]\nengine = {wanted.engine}\nhost = {HOST}\n"
            f"port = {self.database_port}\nname = {wanted.database}\n"
            f"schema = {wanted.schema}\nuser = {wanted.user}\n"
            f"password = {self.password}\nca = {self.place.server.authority.file}\n"
        )
        (self.folder / "app.conf").write_text(config + "".join(sections))
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {HOST}\n")

    def start(self, ready: bool = True) -> None:
        """Start it where the database's name leads to the loopback."""
        program = self.folder / f"message-app-{self.version}" / "bin" / "message-app"
        inside = (
            'mount --bind "$0/hosts" /etc/hosts && exec "$1" --config "$0/app.conf"'
        )
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", inside, str(self.folder), str(program)],
            stdout=subprocess.PIPE,
            text=True,
        )
        if ready:
            wait_until(lambda: self.status() == 200)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Tell it to stop; its exit status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def open_way(self) -> None:
        """Let it reach its database."""
        target = f"TCP:127.0.0.1:{self.place.server.port}"
        listen = f"TCP-LISTEN:{self.database_port},bind=127.0.0.1,fork,reuseaddr"
        self.way = subprocess.Popen(
            ["socat", listen, target], start_new_session=True, text=True
        )

    def close_way(self) -> None:
        """Cut it off from its database, connections that are open included."""
        assert self.way
        os.killpg(self.way.pid, signal.SIGKILL)
        self.way.wait()

    def faults(self, text: str) -> None:
        (self.folder / "faults.json").write_text(text)

    def status(self) -> int:
        try:
            url = f"http://127.0.0.1:{self.health}/health"
            return requests.get(url, timeout=5).status_code
        except requests.RequestException:
            return 0

    def send(self, control_id: str, body: str = "PID|1") -> tuple[str, str]:
        with MLLPClient("127.0.0.1", self.tcp) as client:
            client.socket.settimeout(20)
            return answer(client.send_message(message(control_id, body)))

    def stored(self) -> list[str]:
        rows = self.place.as_application("SELECT control_id FROM messages")
        return sorted(str(row[0]) for row in rows)


@contextmanager
def running(folder: Path, place: Place, version: str = "1.0.0") -> Iterator[Running]:
    """The application, healthy, with a way to its database that can be cut."""
    application = Running(folder, place, version)
    application.write()
    application.open_way()
    try:
        application.start(ready=version != "2.0.1")
        yield application
    finally:
        if application.process:
            application.process.kill()
            application.process.wait()
        if application.way and application.way.poll() is None:
            application.close_way()
