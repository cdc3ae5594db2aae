"""HAProxy on this node, newest worker and older ones, through its two sockets."""

import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from portway.contract.paths import ADMIN_SOCKET, MASTER_SOCKET
from portway.contract.streams import STICK_TABLE_KEY

PATIENCE = 5.0
"""Seconds that an answer may take."""
AT_ONCE = 50
"""Commands in one line, which must fit HAProxy's buffer of 16 KiB."""
NEWEST = 0

_STREAM = re.compile(
    r"^(0x[0-9a-f]+): proto=tcpv[46] src=(\S+):(\d+) fe=(\S+) be=(\S+) srv=(\S+) (.*)",
    re.M,
)
_SIDE = re.compile(r"=\[(\d+),[0-9a-f]+h,fd=")
"""The state of each side of a stream, the client's first."""
_CLOSED = 10
_ESTABLISHED = (7, 8)
_REFUSED = "Connection refused"
"""In the last columns of a server, what became of its check, in the system's words."""
"""SC_ST_RDY and SC_ST_EST."""
NO_SERVER = "<none>"
_ENTRY = re.compile(r"key=(\d+) .*server_id=(\d+) gpt0=(\d+)")


@dataclass(frozen=True, slots=True)
class Stream:
    """One client's connection in one worker."""

    worker: int
    """Process id of the older worker that has it, or ``NEWEST``."""
    id: str
    """What HAProxy calls it; a later stream may get the same one."""
    source: tuple[str, int]
    """The client's address and port."""
    client: str
    backend: str
    server: str
    """``NO_SERVER`` while it has none, or none any more."""
    is_established: bool
    """Whether that server has accepted the connection."""


@dataclass(frozen=True, slots=True)
class Server:
    """An application node in a backend of the newest worker."""

    name: str
    number: int
    """HAProxy's id of it."""
    address: str
    usable: bool
    """Whether it gets new connections."""
    alive: bool
    """Whether it can still answer: usable, or merely drained."""
    streams: int
    errors: int = 0
    """How often it did not accept a connection."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An ``ordered`` backend of the newest worker."""

    servers: tuple[Server, ...]
    usable: int
    """How many servers HAProxy counts as usable."""
    chosen: str | None
    """The server that new connections go to; None until there is one."""
    approved: int
    """``usable`` when that server was approved; 0 for not approved."""
    entries: Mapping[int, tuple[str | None, int]] = field(default_factory=dict)
    """Those two by key of the stick table."""

    def of(self, key: int) -> "Backend":
        """The backend as those clients see it who have this key."""
        chosen, approved = self.entries.get(key, (None, 0))
        return replace(self, chosen=chosen, approved=approved)

    @property
    def is_approved(self) -> bool:
        """Whether HAProxy lets new connections pass at once."""
        return self.chosen is not None and self.approved == self.usable


@dataclass(frozen=True, slots=True)
class Failed:
    """What failed its checks."""

    addresses: frozenset[str]
    """Of application nodes that failed wherever they are checked."""
    servers: frozenset[tuple[str, str]]
    """The newest worker's servers that still have streams, by backend and name."""


@dataclass(frozen=True, slots=True)
class Process:
    """A worker that a reload left with its streams."""

    pid: int
    uptime: str


class Haproxy:
    """Asks HAProxy, and tells it what to do. OSError if it does not answer."""

    def __init__(
        self, admin: Path = ADMIN_SOCKET, master: Path = MASTER_SOCKET
    ) -> None:
        self._admin = admin
        self._master = master

    def workers(self) -> tuple[int, tuple[Process, ...]]:
        """The newest worker's process id, 0 if there is none, and the older ones."""
        found: dict[bool, list[Process]] = {False: [], True: []}
        are_old = False
        for line in _ask(self._master, ["show proc"]).splitlines():
            words = line.split()
            if line.startswith("#"):
                are_old = line.startswith("# old workers")
            elif len(words) >= 4 and words[1] == "worker":
                found[are_old].append(Process(int(words[0]), words[3]))
        newest = found[False][0].pid if found[False] else 0
        return newest, tuple(found[True])

    def backends(self, names: Collection[str]) -> dict[str, Backend]:
        """Those of the backends that the newest worker has, by name."""
        commands = [f"show stat {n} 6 -1; show table {n}" for n in names]
        text = "".join(
            _ask(self._admin, commands[start : start + AT_ONCE // 2])
            for start in range(0, len(commands), AT_ONCE // 2)
        )
        return _backends(text)

    def streams(self, worker: int) -> list[Stream]:
        """The clients' streams in one worker; none if that has ended."""
        text = self._of_worker(worker, ["show sess"])
        return [
            Stream(
                worker,
                id_,
                (address, int(port)),
                client,
                backend,
                NO_SERVER if state == _CLOSED else server,
                state in _ESTABLISHED,
            )
            for id_, address, port, client, backend, server, rest in _STREAM.findall(
                text
            )
            for state in [_server_state(rest)]
        ]

    def addresses(self, worker: int) -> dict[tuple[str, str], str]:
        """The address of each server of one worker, by backend and name."""
        rows = (
            line.split(" ")
            for line in self._of_worker(worker, ["show servers state"]).splitlines()
        )
        return {(r[1], r[3]): r[4] for r in rows if len(r) > 18 and r[0].isdigit()}

    def failed(self) -> "Failed":
        """What failed its checks, as the newest worker sees it.

        Not what refuses them: that machine works, and ends the streams of a program
        that has died itself. A node that is about to stop refuses checks, and answers
        what it has begun.
        """
        states: list[tuple[tuple[str, str], str, bool]] = []
        servers, refusing = set(), set()
        commands = ["show servers state; show stat -1 4 -1"]
        for line in _ask(self._admin, commands).splitlines():
            row, values = line.split(" "), line.split(",")
            if len(values) > 17:
                server = values[0], values[1]
                if _REFUSED in ",".join(values[36:]):
                    refusing.add(server)
                if values[17].startswith("DOWN") and values[4] not in ("", "0"):
                    servers.add(server)
            elif len(row) > 18 and row[0].isdigit():
                down = row[5] == "0" and row[6] == "0"
                states.append(((row[1], row[3]), row[4], down))
        found: dict[str, set[bool]] = {}
        for server, address, down in states:
            found.setdefault(address, set()).add(down and server not in refusing)
        everywhere = {address for address, downs in found.items() if downs == {True}}
        return Failed(frozenset(everywhere), frozenset(servers - refusing))

    def close(self, streams: Iterable[Stream]) -> None:
        """Close established streams, of whichever worker; what has ended is closed.

        HAProxy 3.0 never ends a stream that is shut down while it connects to its
        server, and its client waits for ever.
        """
        by_worker: dict[int, list[str]] = {}
        for stream in streams:
            if stream.is_established:
                command = f"shutdown session {stream.id}"
                by_worker.setdefault(stream.worker, []).append(command)
        for worker, commands in by_worker.items():
            for start in range(0, len(commands), AT_ONCE):
                self._of_worker(worker, commands[start : start + AT_ONCE])

    def frontends(self) -> dict[str, tuple[int, int]]:
        """HAProxy's id of each client, and how often it has connected so far."""
        lines = _ask(self._admin, ["show stat -1 1 -1"]).splitlines()
        header = next((line[2:].split(",") for line in lines if line[:1] == "#"), [])
        rows = (dict(zip(header, line.split(","), strict=False)) for line in lines)
        return {
            row["pxname"]: (int(row["iid"]), int(row["stot"]))
            for row in rows
            if row.get("svname") == "FRONTEND"
        }

    def hold(self, backend: str, key: int) -> None:
        """Hold new connections of clients of an ``ordered`` backend."""
        _ask(self._admin, [f"set table {backend} key {key} data.gpt0 0"])

    def forget(self, backend: str, key: int) -> None:
        """Have a client with a key for itself use the same server as the others."""
        _ask(self._admin, [f"clear table {backend} key {key}"])

    def approve(self, backend: str, number: int, server: Server, usable: int) -> None:
        """Let connections pass to a server while so many servers are usable."""
        key = f"{backend} key {number}"
        data = f"data.server_id {server.number} data.gpt0 {usable}"
        # HAProxy remembers the name too, which counts more; so the entry is a new one.
        _ask(self._admin, [f"clear table {key}", f"set table {key} {data}"])

    def _of_worker(self, worker: int, commands: list[str]) -> str:
        if worker == NEWEST:
            return _ask(self._admin, commands)
        return _ask(self._master, [f"@!{worker} {command}" for command in commands])


def _server_state(sides: str) -> int:
    """The state of the side of a stream that leads to its server; 0 if unknown."""
    states = _SIDE.findall(sides)
    return int(states[1]) if len(states) > 1 else 0


def _ask(path: Path, commands: list[str]) -> str:
    """HAProxy's answers. OSError if nothing listens or it takes too long."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE)
        s.connect(str(path))
        s.sendall("; ".join(commands).encode() + b"\n")
        s.shutdown(socket.SHUT_WR)  # the master waits for more otherwise
        parts = []
        while part := s.recv(1 << 18):
            parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _backends(text: str) -> dict[str, Backend]:
    rows: dict[str, list[dict[str, str]]] = {}
    entries: dict[str, dict[int, tuple[int, int]]] = {}
    header: list[str] = []
    table = ""
    for line in text.splitlines():
        if line.startswith("# pxname,"):
            header, table = line[2:].split(","), ""
        elif line.startswith("# table: "):
            table = line.split()[2].rstrip(",")
        elif table and (found := _ENTRY.search(line)):
            key, number, approved = map(int, found.groups())
            entries.setdefault(table, {})[key] = number, approved
        elif not table and line.count(",") > 20:
            row = dict(zip(header, line.split(","), strict=False))
            rows.setdefault(row["pxname"], []).append(row)
    return {
        name: _backend(found, entries.get(name, {})) for name, found in rows.items()
    }


def _backend(
    rows: list[dict[str, str]], entries: Mapping[int, tuple[int, int]]
) -> Backend:
    servers = tuple(_servers(rows))
    names = {server.number: server.name for server in servers}
    found = {key: (names.get(n), approved) for key, (n, approved) in entries.items()}
    chosen, approved = found.get(STICK_TABLE_KEY, (None, 0))
    return Backend(
        servers=servers,
        usable=sum(int(r["act"]) for r in rows if r["svname"] == "BACKEND"),
        chosen=chosen,
        approved=approved,
        entries=found,
    )


def _servers(rows: list[dict[str, str]]) -> Iterator[Server]:
    for row in rows:
        if row["svname"] == "BACKEND":
            continue
        status = row["status"]
        up = status.startswith(("UP", "no check"))
        yield Server(
            name=row["svname"],
            number=int(row["sid"]),
            address=row["addr"].rpartition(":")[0],
            usable=up and row["weight"] != "0",
            alive=up or status.startswith(("DRAIN", "NOLB")),
            streams=int(row["scur"]),
            errors=int(row["econ"] or 0),
        )
