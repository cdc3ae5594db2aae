"""HAProxy's sockets: the state of every server, and commands that change it.

A reload leaves established streams to the process that accepted them, the older worker,
for days. The admin socket belongs to the newest worker alone; the master's socket
reaches all of them. So the newest worker says who gets new connections, and all workers
together have the streams.
"""

import csv
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from pyinfra import host, logger

from portway.contract.paths import ADMIN_SOCKET
from portway.errors import PortwayError
from portway.load_balancers.lost import ask_unless_left_out
from portway.load_balancers.reasons import reason
from portway.load_balancers.sockets import ASKING, AT_ONCE
from portway.model.cluster import Cluster
from portway.ops.framing import NodeFact
from portway.ops.reading import once_per_run
from portway.ops.remote import node_of_run, run


@dataclass(frozen=True, slots=True)
class BackendServer:
    """An application node in one backend of a load balancer, as it is now."""

    backend: str
    name: str
    address: str
    is_up: bool
    """Whether it passed its checks, drained or not."""
    is_drained: bool
    """Whether somebody took it out of service: drained, or in maintenance."""
    sessions: int
    reason: str = ""
    """What its last check found, in HAProxy's words; empty if it makes none itself."""
    worker: int = 0
    """Process id of the older worker whose server this is; 0 for the newest worker."""

    @property
    def path(self) -> str:
        """Its name in HAProxy's commands."""
        return f"{self.backend}/{self.name}"

    @property
    def serves(self) -> bool:
        """Whether it gets new connections; no server of an older worker does."""
        return self.is_up and not self.is_drained and not self.worker


@dataclass(frozen=True, slots=True)
class Balancing:
    """What one load balancer does with application nodes."""

    runs: bool = False
    answers: bool = False
    """Whether every one of its processes did: one that is silent may have streams."""
    servers: tuple[BackendServer, ...] = ()
    """Those of the newest worker."""
    older: tuple[BackendServer, ...] = ()
    """Those of older workers."""

    @property
    def streams(self) -> int:
        """Clients' connections to application nodes, in every worker."""
        return sum(server.sessions for server in (*self.servers, *self.older))

    def of(self, address: str) -> tuple[BackendServer, ...]:
        """An application node's servers, one in each backend that uses it."""
        return tuple(s for s in self.servers if s.address == address)

    def with_streams(self, address: str) -> tuple[BackendServer, ...]:
        """An application node's servers that have streams, in every worker."""
        return tuple(
            server
            for server in (*self.servers, *self.older)
            if server.address == address and server.sessions
        )


class BalancingFacts(NodeFact[Balancing]):
    """Every server of a load balancer, in every worker, as HAProxy sees it now."""

    def command(self) -> str:
        """Asks HAProxy on its sockets, if it runs."""
        return _BALANCING_SCRIPT

    def process(self, output: list[str]) -> Balancing:
        """The servers that HAProxy described.

        Columns are those of the management guide, "show servers state" version 1 and
        "Statistics and monitoring", CSV format.
        """
        newest, *older = _sections(output)
        return Balancing(
            "runs" in newest,
            len(newest) > 1 and "silent" not in output,
            tuple(_servers(newest, 0)),
            tuple(s for lines in older for s in _servers(lines, int(lines[0]))),
        )

    @staticmethod
    def default() -> Balancing:
        """A node on which no HAProxy runs."""
        return Balancing()


def _sections(output: list[str]) -> list[list[str]]:
    """The lines of the newest worker, then those of each older one after its pid."""
    found: list[list[str]] = [[]]
    for line in output:
        if line.startswith("worker "):
            found.append([line.removeprefix("worker ")])
        else:
            found[-1].append(line)
    return found


def _servers(lines: list[str], worker: int) -> Iterator[BackendServer]:
    sessions, reasons = {}, {}
    for values in csv.reader(line for line in lines if "," in line):
        if len(values) > 56 and not values[0].startswith("#"):
            server = values[0], values[1]
            sessions[server] = int(values[4] or 0)
            reasons[server] = reason(values[36], values[37], values[56])
    for line in lines:
        row = line.split(" ")
        if "," in line or len(row) <= 18 or not row[0].isdigit():
            continue
        yield BackendServer(
            backend=row[1],
            name=row[3],
            address=row[4],
            is_up=int(row[5]) in UP_STATES,
            is_drained=bool(int(row[6]) & TAKEN_OUT),
            sessions=sessions.get((row[1], row[3]), 0),
            reason=reasons.get((row[1], row[3]), ""),
            worker=worker,
        )


UP_STATES = (1, 2)
"""SRV_ST_STARTING and SRV_ST_RUNNING of srv_op_state."""
TAKEN_OUT = 0x01 | 0x08
"""SRV_ADMF_FMAINT and SRV_ADMF_FDRAIN of srv_admin_state: set on the socket."""


_BALANCING_SCRIPT = f"""
systemctl -q is-active haproxy || exit 0{ASKING}
echo runs
echo "show servers state; show stat -1 4 -1" | admin 2>/dev/null
found=$(workers) || {{ echo silent; exit 0; }}
for pid in $(echo "$found" | awk '$1 == "older" {{ print $2 }}'); do
    echo "worker $pid"
    worker "$pid" "@!$pid show servers state; @!$pid show stat -1 4 -1" || echo silent
done
:
"""
_CLOSE_SCRIPT = f"""{ASKING}
while read -r pid paths; do
    close_streams "$paths" "${{pid#0}}" || exit 1
done
"""


def ask_load_balancers(cluster: Cluster) -> dict[str, Balancing]:
    """What each load balancer does with application nodes, by its name.

    One without HAProxy does nothing with them: the stack may be new. Raises
    PortwayError for one that cannot be asked, since it may well send them clients;
    without the address it does not, and a run that could not connect to it goes on.
    """
    found = {}
    for lb in cluster.load_balancers:
        try:
            balancing = ask_unless_left_out(cluster, lb, BalancingFacts)
        except PortwayError as error:
            raise PortwayError(
                error.message,
                why=f"{lb.name} may be sending clients to an application node, so none "
                "is taken out of service",
                do=f"bring {lb.name} back, or terminate it, and run again",
            ) from error
        if balancing is None:
            once_per_run(("lost", lb.name), partial(_warn_of_lost, lb.name))
            continue
        if balancing.runs and not balancing.answers:
            raise PortwayError(
                f"{lb.name}: HAProxy runs but does not answer on its sockets",
                why="a process that is silent may have streams",
                do="run deploys/lb.py first",
            )
        found[lb.name] = balancing
    return found


def _warn_of_lost(name: str) -> None:
    logger.warning(
        f"{name} does not hold the address and cannot be asked: streams through it, if "
        "there are any, are cut where an application node is restarted"
    )


def drain_servers(lb: str, servers: Iterable[BackendServer]) -> None:
    """Send servers no new connections."""
    _command(lb, [f"set server {server.path} state drain" for server in servers])


def stop_servers(lb: str, servers: Iterable[BackendServer]) -> None:
    """Send servers no connections at all, not even those that belong there."""
    _command(lb, [f"set server {server.path} state maint" for server in servers])


def ready_servers(lb: str, servers: Iterable[BackendServer]) -> None:
    """Send servers new connections again, as soon as they pass their checks."""
    _command(lb, [f"set server {server.path} state ready" for server in servers])


def close_streams(lb: str, servers: Iterable[BackendServer]) -> None:
    """Close the streams of servers, of whichever worker.

    A client that is just being connected is left: it has a stream in a moment, or goes
    on to another server.
    """
    servers = [server for server in servers if server.sessions]
    if servers:
        streams = sum(server.sessions for server in servers)
        logger.info(f"{host.print_prefix}{lb} closes {streams} streams")
        run(node_of_run(lb), _CLOSE_SCRIPT, stdin=_to_close(servers))


def _to_close(servers: Iterable[BackendServer]) -> str:
    """What the script reads: a line for each worker, with its servers."""
    paths: dict[int, list[str]] = {}
    for server in servers:
        paths.setdefault(server.worker, []).append(server.path)
    return "".join(f"{pid} {' '.join(names)}\n" for pid, names in paths.items())


def _command(lb: str, commands: list[str]) -> None:
    """Give HAProxy commands that answer nothing when they succeed."""
    for start in range(0, len(commands), AT_ONCE):
        line = shlex.quote("; ".join(commands[start : start + AT_ONCE]))
        script = f"echo {line} | timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET}"
        if said := [line for line in run(node_of_run(lb), script) if line.strip()]:
            raise PortwayError(
                f"{lb}: HAProxy refused a command: {said[0]}",
                do="run deploys/lb.py, which brings HAProxy up to date",
            )
