"""What application nodes say about the application: one fact per question.

Facts change nothing, take no secrets, and succeed on a node that has nothing yet.
"""

import shlex
from collections.abc import Iterable

from portway.model.health import ANSWER_TIMEOUT, HealthCheck
from portway.model.releases import FoundReleases
from portway.ops.framing import NodeFact


class ReleaseFacts(NodeFact[FoundReleases]):
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


class ApplicationHealth(NodeFact[tuple[str, ...]]):
    """What is wrong with the application on a node; () if it serves."""

    def command(
        self,
        unit: str,
        address: str,
        check: HealthCheck,
        ports: Iterable[int],
    ) -> str:
        """A script that asks the application as the load balancers will."""
        asked = (check.port, check.request, check.connect_timeout, ANSWER_TIMEOUT)
        words = (address, *map(str, asked), *map(str, ports))
        return (
            f"systemctl -q is-active {shlex.quote(unit)} || "
            "{ echo 'it is not running'; exit 0; }\n"
            f"python3 -IBc {shlex.quote(_HEALTH_PROGRAM)} {shlex.join(words)}"
        )

    def process(self, output: list[str]) -> tuple[str, ...]:
        """The lines, each one thing that is wrong; ``asked`` ends them."""
        return tuple(line for line in output if line != "asked")

    @staticmethod
    def default() -> tuple[str, ...]:
        """What is wrong with a node that prints nothing."""
        return ("it is not installed",)


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
import http.client, socket, subprocess, sys
address, health_port, request, connecting, answering, *ports = sys.argv[1:]
try:
    asked = socket.create_connection((address, int(health_port)), float(connecting))
    if request:
        asked.settimeout(float(answering))
        asked.sendall(request.encode())
        answer = http.client.HTTPResponse(asked)
        answer.begin()
        if answer.status != 200:
            print(f"its health check answers {answer.status}")
    asked.close()
except (OSError, http.client.HTTPException) as error:
    print(f"its health check on port {health_port} fails: {error}")
# What listens, not whether it accepts: some applications log or count connections.
ways = {"*", "0.0.0.0", address, f"[::ffff:{address}]"}
said = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout
local = [line.split()[3].rpartition(":") for line in said.splitlines()]
open_ports = {port for way, _, port in local if way in ways}
closed = [port for port in ports if port not in open_ports]
if closed:
    more = f" and {len(closed) - 5} more" if len(closed) > 5 else ""
    print(f"it does not listen on port {', '.join(closed[:5])}{more}")
print("asked")
"""
