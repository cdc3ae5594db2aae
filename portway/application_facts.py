"""What application nodes and load balancers say of the application, a fact a question.

Facts change nothing, take no secrets, and succeed on a node that has nothing yet.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api import FactBase

from portway.releases import FoundReleases
from portway.render import ADMIN_SOCKET


class ReleaseFacts(FactBase[FoundReleases]):
    """The releases on a node."""

    def command(self, folder: str) -> str:
        """A script that prints one tab-separated line for each thing it finds."""
        return _RELEASE_SCRIPT.format(folder=shlex.quote(folder))

    def process(self, output: list[str]) -> FoundReleases:
        """The releases that those lines describe."""
        rows = [line.split("\t") for line in output]
        links = {row[1]: row[2] for row in rows if row[0] == "link"}
        releases = sorted((row[1:] for row in rows if row[0] == "release"), key=_age)
        return FoundReleases(
            sums={version: sha256 for version, sha256, _ in releases},
            current=links.get("current"),
            previous=links.get("previous"),
            leftovers=any(row[0] == "leftover" for row in rows),
        )

    @staticmethod
    def default() -> FoundReleases:
        """A node without any."""
        return FoundReleases()


class ApplicationHealth(FactBase[tuple[str, ...]]):
    """What is wrong with the application on a node; () if it serves."""

    def command(
        self,
        unit: str,
        address: str,
        health_port: int,
        health_path: str | None,
        ports: Iterable[int],
    ) -> str:
        """A script that asks the application as the load balancers will."""
        words = (address, str(health_port), health_path or "", *map(str, ports))
        return (
            f"systemctl -q is-active {shlex.quote(unit)} || "
            "{ echo 'it is not running'; exit 0; }\n"
            f"python3 -IBc {shlex.quote(_HEALTH_PROGRAM)} {shlex.join(words)}"
        )

    def process(self, output: list[str]) -> tuple[str, ...]:
        """The lines, each one thing that is wrong; the last says that all was asked."""
        return tuple(line for line in output if line != "asked")

    @staticmethod
    def default() -> tuple[str, ...]:
        """What is said of a node that cannot say it."""
        return ("it is not installed",)


@dataclass(frozen=True, slots=True)
class BackendServer:
    """An application node in one backend of a load balancer, as it is now."""

    backend: str
    name: str
    address: str
    is_up: bool
    """Whether it passed its checks, drained or not."""
    is_drained: bool
    """Whether someone took it out of service: drained, or in maintenance."""
    sessions: int

    @property
    def path(self) -> str:
        """What HAProxy's commands call it."""
        return f"{self.backend}/{self.name}"

    @property
    def serves(self) -> bool:
        """Whether new connections are sent to it."""
        return self.is_up and not self.is_drained


@dataclass(frozen=True, slots=True)
class Balancing:
    """What one load balancer does with application nodes."""

    runs: bool = False
    answers: bool = False
    servers: tuple[BackendServer, ...] = ()

    def of(self, address: str) -> tuple[BackendServer, ...]:
        """The places that one application node has in the backends."""
        return tuple(s for s in self.servers if s.address == address)


class BalancingFacts(FactBase[Balancing]):
    """Every server of a load balancer, as HAProxy sees it now."""

    def command(self) -> str:
        """Asks HAProxy on its socket, if it runs."""
        question = "show servers state; show stat -1 4 -1"
        return (
            "systemctl -q is-active haproxy || exit 0\n"
            f'echo runs; echo "{question}" | '
            f"timeout 10 socat -t10 - UNIX-CONNECT:{ADMIN_SOCKET} 2>/dev/null || :"
        )

    def process(self, output: list[str]) -> Balancing:
        """The servers that HAProxy described.

        Columns are those of the management guide, "show servers state" version 1 and
        "Statistics and monitoring", CSV format.
        """
        sessions = {}
        for line in output:
            values = line.split(",")
            if len(values) > 17 and not line.startswith("#"):
                sessions[values[0], values[1]] = int(values[4] or 0)
        states = [line.split(" ") for line in output if "," not in line]
        servers = tuple(
            BackendServer(
                backend=row[1],
                name=row[3],
                address=row[4],
                is_up=int(row[5]) in UP_STATES,
                is_drained=bool(int(row[6]) & TAKEN_OUT),
                sessions=sessions.get((row[1], row[3]), 0),
            )
            for row in states
            if len(row) > 18 and row[0].isdigit()
        )
        return Balancing("runs" in output, len(output) > 1, servers)

    @staticmethod
    def default() -> Balancing:
        """A node on which no HAProxy runs."""
        return Balancing()


UP_STATES = (1, 2)
"""SRV_ST_STARTING and SRV_ST_RUNNING of srv_op_state."""
TAKEN_OUT = 0x01 | 0x08
"""SRV_ADMF_FMAINT and SRV_ADMF_FDRAIN of srv_admin_state: set on the socket."""


def _age(release: list[str]) -> tuple[float, str]:
    version, _, installed_at = release
    return float(installed_at), version


_RELEASE_SCRIPT = r"""
cd {folder} 2>/dev/null || exit 0
for l in current previous; do
    [ ! -L $l ] || printf 'link\t%s\t%s\n' $l "$(basename "$(readlink $l)")"
done
for s in releases/*/.portway-sha256; do
    [ ! -f "$s" ] || printf 'release\t%s\t%s\t%s\n' "$(basename "$(dirname "$s")")" \
        "$(cat "$s")" "$(stat -c %.Y "$s")"
done
for f in releases/.[a-z]*; do
    case $f in releases/.lock | 'releases/.[a-z]*') ;; *) echo leftover ;; esac
done
"""

_HEALTH_PROGRAM = """
import http.client, socket, sys
address, health_port, path, *ports = sys.argv[1:]
try:
    if path:
        asked = http.client.HTTPConnection(address, int(health_port), timeout=5)
        asked.request("GET", path)
        status = asked.getresponse().status
        if status != 200:
            print(f"its health check answers {status}")
    else:
        socket.create_connection((address, int(health_port)), 5).close()
except (OSError, http.client.HTTPException) as error:
    print(f"its health check on port {health_port} fails: {error}")
closed = []
for port in ports:
    try:
        socket.create_connection((address, int(port)), 5).close()
    except OSError:
        closed.append(port)
if closed:
    more = f" and {len(closed) - 5} more" if len(closed) > 5 else ""
    print(f"it does not accept connections on port {', '.join(closed[:5])}{more}")
print("asked")
"""
