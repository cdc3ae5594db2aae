"""The runs that a node remembers, and the one that has its lease."""

from portway.contract.paths import LEASE, RUNS
from portway.model.runs import GOING, GONE, RunReport, from_lease, read_report
from portway.ops.framing import NodeFact


class RunsFacts(NodeFact[tuple[RunReport, ...]]):
    """The runs on one node, the oldest first, in one round trip."""

    def command(self) -> str:
        """A script that never fails."""
        return _SCRIPT

    def process(self, output: list[str]) -> tuple[RunReport, ...]:
        """The runs that those lines describe."""
        found: list[RunReport | None] = []
        lease: dict[str, str] = {}
        for line in output:
            kind, _, text = line.partition(" ")
            if kind == "run":
                found.append(read_report(text))
            elif kind == "lease":
                key, _, value = text.partition(" ")
                lease[key] = value
        if lease:
            found.append(from_lease(lease, GOING if _is_alive(lease) else GONE))
        return tuple(run for run in found if run is not None)

    @staticmethod
    def default() -> tuple[RunReport, ...]:
        """A node that no run has worked on."""
        return ()


def _is_alive(lease: dict[str, str]) -> bool:
    expires, now = lease.get("expires", ""), lease.get("now", "")
    return expires.isdecimal() and now.isdecimal() and int(expires) > int(now)


_SCRIPT = f"""
[ ! -f {RUNS} ] || sed 's/^/run /' {RUNS}
[ ! -s {LEASE} ] || {{
    echo "lease now $(cut -d. -f1 /proc/uptime)"; sed 's/^/lease /' {LEASE}
}}
"""
