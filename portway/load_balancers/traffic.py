"""Who is connected to a load balancer now: each client, in every HAProxy process."""

from collections.abc import Iterator
from dataclasses import dataclass

from portway.contract.paths import ADMIN_SOCKET, MASTER_SOCKET
from portway.ops.framing import NodeFact


@dataclass(frozen=True, slots=True)
class ClientTraffic:
    """One client's connections in one HAProxy process."""

    client: str
    worker: int
    """Process id of an older worker; 0 for the newest one."""
    connections: int
    accepted: int
    """Since that process was started."""
    denied: int
    """How many of them its ``allow`` list turned away."""
    state: str
    """HAProxy's word, such as ``OPEN`` or ``FULL``."""


@dataclass(frozen=True, slots=True)
class OldWorker:
    """A HAProxy process that a reload has left with its streams."""

    pid: int
    uptime: str
    """How long ago it was started, as HAProxy says it, such as ``0d01h02m03s``."""
    connections: int
    answers: bool = True


@dataclass(frozen=True, slots=True)
class Traffic:
    """All connections of a load balancer."""

    runs: bool = False
    """Whether HAProxy's unit is active."""
    answers: bool = False
    """Whether the newest process said who is connected to it."""
    clients: tuple[ClientTraffic, ...] = ()
    older: tuple[OldWorker, ...] = ()

    def of(self, client: str) -> tuple[ClientTraffic, ...]:
        """What each process says of one client."""
        return tuple(found for found in self.clients if found.client == client)


class TrafficFacts(NodeFact[Traffic]):
    """The connections of every client, in all processes, in one round trip."""

    def command(self) -> str:
        """A script that never fails."""
        return _SCRIPT

    def process(self, output: list[str]) -> Traffic:
        """The connections that those lines describe."""
        clients: list[ClientTraffic] = []
        uptimes: dict[int, str] = {}
        silent: set[int] = set()
        worker = 0
        for line in output:
            kind, _, rest = line.partition(" ")
            if kind == "worker" and len(words := rest.split()) == 2:
                worker = int(words[0])
                uptimes[worker] = words[1]
            elif kind == "silent":
                silent.add(worker)
            elif line.startswith("client,"):
                clients += _client(line, worker)
        return Traffic(
            runs="runs" in output,
            answers=any(not found.worker for found in clients),
            clients=tuple(clients),
            older=tuple(
                OldWorker(
                    pid,
                    uptime,
                    sum(c.connections for c in clients if c.worker == pid),
                    answers=pid not in silent,
                )
                for pid, uptime in uptimes.items()
            ),
        )

    @staticmethod
    def default() -> Traffic:
        """A node on which no HAProxy runs."""
        return Traffic()


def _client(line: str, worker: int) -> Iterator[ClientTraffic]:
    _, name, *words = line.split(",")
    if len(words) == 4:
        *numbers, state = words
        connections, accepted, denied = (int(n or 0) for n in numbers)
        yield ClientTraffic(name, worker, connections, accepted, denied, state)


_SCRIPT = f"""
# Columns are those of the management guide, "Statistics and monitoring", CSV format.
frontends() {{
    awk -F, '$2 == "FRONTEND" {{ print "client," $1 "," $5 "," $8 "," $11 "," $18 }}'
}}
master() {{ timeout 1 socat -t1 - UNIX-CONNECT:{MASTER_SOCKET} 2>/dev/null; }}
admin() {{ timeout 1 socat -t1 - UNIX-CONNECT:{ADMIN_SOCKET} 2>/dev/null; }}
systemctl -q is-active haproxy || exit 0
echo runs
echo "show stat -1 1 -1" | admin | frontends
echo "show proc" | master | awk '
    /^#/ {{ old = /^# old workers/ }}
    old && $2 == "worker" {{ print $1, $4 }}' |
    while read -r pid uptime; do
        echo "worker $pid $uptime"
        said=
        # Frozen ones must not use up the time of the whole node.
        if [ "${{silent:-0}}" -lt 2 ]; then
            said=$(echo "@!$pid show stat -1 1 -1" | master | frontends)
        fi
        [ -n "$said" ] || silent=$((${{silent:-0}} + 1))
        echo "${{said:-silent}}"
    done
:
"""
