"""Whether a load balancer can take one more HAProxy process, which a reload leaves.

A reload starts a new worker; the older one stays while it has streams.
"""

from dataclasses import dataclass

from pyinfra import host

from portway.contract.paths import MASTER_SOCKET
from portway.errors import PortwayError
from portway.load_balancers.sockets import ASKING
from portway.ops.framing import NodeFact
from portway.ops.remote import ask
from portway.render.load_balancer import MAX_RELOADS

NEEDED = 2
"""How often what one worker takes must be available: for the new one, and for the check
of the configuration that HAProxy's unit makes before."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One HAProxy process that serves clients."""

    pid: int
    reloads: int
    """How many it has lived through."""
    memory: int
    """MiB of its own; the program itself is shared by all."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The HAProxy processes of a load balancer, and the memory they leave."""

    runs: bool = False
    newest: Worker | None = None
    older: tuple[Worker, ...] = ()
    available: int = 0
    """MiB that new processes can have."""


class WorkersFacts(NodeFact[Workers]):
    """HAProxy's workers, and the memory of the node."""

    def command(self) -> str:
        """A script that never fails."""
        return _SCRIPT

    def process(self, output: list[str]) -> Workers:
        """The workers that those lines describe."""
        found: dict[str, list[Worker]] = {"newest": [], "older": []}
        available = 0
        for kind, *words in (line.split() for line in output):
            if kind == "available":
                available = int(words[0]) // 1024
            elif len(words) == 3:
                pid, reloads, memory = map(int, words)
                found[kind].append(Worker(pid, reloads, memory // 1024))
        newest = found["newest"][0] if found["newest"] else None
        return Workers("runs" in output, newest, tuple(found["older"]), available)

    @staticmethod
    def default() -> Workers:
        """A node on which no HAProxy runs."""
        return Workers()


def reload_problem(found: Workers) -> str:
    """Why HAProxy cannot be reloaded without harm; empty if it can."""
    if found.newest is None:
        silent = (
            "what its processes take is not known: its master does not answer on "
            f"{MASTER_SOCKET}; run again, and if that does not help, see "
            "journalctl -u haproxy"
        )
        return silent if found.runs else ""
    count, taken = len(found.older), sum(worker.memory for worker in found.older)
    older = f"{count} older processes with streams take {taken} MiB"
    way_out = (
        "wait until their streams have ended, lower retire_after, or close those of "
        "the oldest: sudo kill {}"
    )
    oldest = max(found.older, key=lambda worker: worker.reloads, default=None)
    if oldest and oldest.reloads + 1 >= MAX_RELOADS:
        return (
            f"HAProxy would kill process {oldest.pid} with its streams: it has lived "
            f"through {oldest.reloads} reloads of {MAX_RELOADS}; "
            + way_out.format(oldest.pid)
        )
    need = NEEDED * max(1, found.newest.memory)
    if found.available >= need:
        return ""
    ways = way_out.format(oldest.pid) if oldest else "use a larger instance type"
    return (
        f"a reload of HAProxy needs {need} MiB, {found.available} MiB are available, "
        f"and {older}; {ways}"
    )


def refuse_reload_without_memory() -> None:
    """PortwayError if the current host cannot take one more worker."""
    if problem := reload_problem(ask(host, WorkersFacts)):
        raise PortwayError(f"{host.name}: HAProxy was not reloaded", why=problem)


_SCRIPT = f"""{ASKING}
if systemctl -q is-active haproxy; then
    echo runs
    workers 2>/dev/null | while read -r kind pid reloads; do
        echo "$kind $pid $reloads" \\
            "$(awk '/^Anonymous:/ {{ sum += $2 }} END {{ print sum + 0 }}' \\
               "/proc/$pid/smaps_rollup" 2>/dev/null)"
    done
fi
awk '/^MemAvailable:/ {{ print "available", $2 }}' /proc/meminfo
"""
