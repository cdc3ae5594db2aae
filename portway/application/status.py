"""How the application on a node is doing, as the node sees it."""

import shlex
from dataclasses import dataclass

from portway.ops.framing import NodeFact
from portway.render.application import release_folder, unit_path


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """The application on one node."""

    state: str = ""
    """systemd's word for its unit, such as ``active``; empty if there is no unit."""
    version: str = ""
    """The release that is current; empty if there is none."""
    ports: frozenset[int] = frozenset()
    """Those on which something listens, for everyone or at the node's address."""


class ApplicationStatusFacts(NodeFact[ApplicationStatus]):
    """The status of the application, in one round trip."""

    def command(self, app: str, address: str) -> str:
        """A script that never fails."""
        return _SCRIPT.format(
            unit_path=unit_path(app),
            unit=shlex.quote(f"{app}.service"),
            current=f"{release_folder(app)}/current",
            address=shlex.quote(address),
        )

    def process(self, output: list[str]) -> ApplicationStatus:
        """The status that those lines describe."""
        rows = [line.split(" ") for line in output]
        found = {row[0]: row[1] for row in rows if len(row) == 2}
        ports = (row[1] for row in rows if row[0] == "port" and len(row) == 2)
        return ApplicationStatus(
            state=found.get("state", ""),
            version=found.get("version", ""),
            ports=frozenset(int(port) for port in ports if port.isdecimal()),
        )

    @staticmethod
    def default() -> ApplicationStatus:
        """A node without the application."""
        return ApplicationStatus()


_SCRIPT = r"""
[ ! -f {unit_path} ] || echo "state $(systemctl is-active {unit})"
[ ! -L {current} ] || echo "version $(basename "$(readlink {current})")"
ss -Hltn | awk -v own={address} '
    {{
        port = $4; sub(/.*:/, "", port)
        way = $4; sub(/:[0-9]*$/, "", way)
        if (way == "*" || way == "0.0.0.0" || way == own || way == "[::ffff:" own "]")
            print "port", port
    }}' | sort -u
"""
