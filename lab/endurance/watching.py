"""Looks at HAProxy on both load balancers, again and again, without disturbing it.

Processes are the kernel's to tell, servers and reloads HAProxy's own sockets'.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from lab.endurance.records import Drain, Look
from lab.ground import processes
from lab.plan.names import Lab

ADMIN = "run/haproxy/admin.sock"
MASTER = "run/haproxy-master.sock"
PATIENCE = 2.0
PAUSE = 0.2
LOOK_EVERY = 1.0

TAKEN_OUT = 0x01 | 0x08
"""SRV_ADMF_FMAINT and SRV_ADMF_FDRAIN of srv_admin_state."""


class Watch:
    """What was seen of the load balancers so far."""

    def __init__(self, lab: Lab, nodes: tuple[str, ...]) -> None:
        self._lab, self.nodes = lab, nodes
        self.looks: list[Look] = []
        self.drains: list[Drain] = []
        self.ready: list[tuple[float, str, str]] = []
        """When a load balancer was first seen to give a new address connections."""
        self._in: dict[str, set[str]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the while."""
        stop = Event()

        def watch() -> None:
            looked = 0.0
            while not stop.wait(PAUSE):
                for node in self.nodes:
                    with suppress(OSError):
                        self._look_at_servers(node)
                if time.monotonic() - looked >= LOOK_EVERY:
                    looked = time.monotonic()
                    self.look()

        thread = Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def look(self) -> None:
        """Write down the processes of both, as far as they can be seen now."""
        for node in self.nodes:
            with suppress(OSError, StopIteration):
                self.looks.append(self._look_at(node))

    def _look_at(self, node: str) -> Look:
        root = _root(self._lab, node)
        rows = [line.split() for line in _ask(root / MASTER, "show proc").splitlines()]
        reloads = next(int(row[2]) for row in rows if row[1:2] == ["master"])
        taken = [_memory(pid) for pid in _workers(self._lab, node)]
        workers = sum(row[1:2] == ["worker"] for row in rows)
        return Look(
            time.time(), node, reloads, workers, sum(taken), max(taken, default=0)
        )

    def _look_at_servers(self, node: str) -> None:
        root = _root(self._lab, node)
        out, present = set[str](), set[str]()
        before = self._in.get(node)
        for line in _ask(root / ADMIN, "show servers state").splitlines():
            row = line.split(" ")
            if len(row) > 18 and row[0].isdigit():
                taken_out = int(row[6]) & TAKEN_OUT
                (out if taken_out else present).add(row[4])
        now = time.time()
        present -= out  # it may be ready in one backend and not yet in another
        self._in[node] = present
        if before is not None:
            self.drains += [Drain(now, node, gone) for gone in before - present]
            self.ready += [(now, node, new) for new in present - before]


def _root(lab: Lab, node: str) -> Path:
    """The file system that a running host sees; OSError if it is off."""
    pid = processes.init_of(processes.cgroup(lab, node))
    if pid is None:
        raise OSError(f"{node} is off")
    return Path(f"/proc/{pid}/root")


def _ask(path: Path, question: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(path))
        connection.sendall(f"{question}\n".encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def _workers(lab: Lab, node: str) -> list[int]:
    """The processes of HAProxy whose parent is its master."""
    parents: dict[int, int] = {}
    for pid in processes.in_cgroup(processes.cgroup(lab, node)):
        with suppress(OSError, IndexError):
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
            if name.endswith("(haproxy"):
                parents[pid] = int(rest.split()[1])
    return [pid for pid, parent in parents.items() if parent in parents]


def _memory(pid: int) -> int:
    """KiB of a process's own; 0 if it is gone."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if "Anonymous:" in line)
    return 0
