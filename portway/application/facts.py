"""What application nodes say about the application: one fact per question.

Facts change nothing, take no secrets, and succeed on a node that has nothing yet.
"""

import shlex
from collections.abc import Iterable

from portway.application.pending import FoundApplication, Loaded
from portway.contract.paths import LOADED_FOLDER, OUT_OF_SERVICE, SUM_FILE
from portway.model.fields import Mode
from portway.model.health import ANSWER_TIMEOUT, HealthCheck
from portway.model.listeners import Listener
from portway.model.releases import FoundReleases
from portway.ops.framing import NodeFact
from portway.render.application import (
    authority_path,
    config_path,
    fixed_script,
    release_folder,
    unit_path,
)


class ApplicationFacts(NodeFact[FoundApplication]):
    """The releases on a node, and what its running process has loaded."""

    def command(self, app: str) -> str:
        """A script that prints one tab-separated line for each thing it finds."""
        all_files = (config_path(app), unit_path(app))
        first = f"{release_folder(app)}/current/{SUM_FILE} {authority_path(app)}"
        return _APPLICATION_SCRIPT.format(
            folder=release_folder(app),
            record=LOADED_FOLDER / app,
            everything=f"cat {first} {' '.join(all_files)}",
            fixed=fixed_script(app),
            config=config_path(app),
            out=OUT_OF_SERVICE,
        )

    def process(self, output: list[str]) -> FoundApplication:
        """What those lines describe."""
        rows = [line.split("\t") for line in output]
        links = {row[1]: row[2] for row in rows if row[0] == "link"}
        releases = sorted((row[1:] for row in rows if row[0] == "release"), key=_age)
        record = [row[1] for row in rows if row[0] == "loaded" and len(row) == 2]
        on_disk = {row[0]: row[1] for row in rows if row[0].startswith("disk ")}
        return FoundApplication(
            releases=FoundReleases(
                sums={version: sha256 for version, sha256, _ in releases},
                current=links.get("current"),
                previous=links.get("previous"),
                leftovers=any(row[0] == "leftover" for row in rows),
            ),
            loaded=_loaded(record, on_disk),
            is_out=["out"] in rows,
        )

    @staticmethod
    def default() -> FoundApplication:
        """A node without any."""
        return FoundApplication()


def _loaded(record: list[str], on_disk: dict[str, str]) -> Loaded | None:
    """What a process loaded, by its record.

    Version 0.1.0 recorded one hash of everything. While everything on the node is as
    the process loaded it, the node itself says what the parts are.
    """
    hashes = [line.split(" ")[0] for line in record if line.endswith("  -")]
    if len(hashes) == 1 and hashes[0] == on_disk.get("disk everything"):
        return Loaded(on_disk["disk fixed"], on_disk["disk config"], is_recorded=False)
    if len(hashes) < 2:
        return None
    rows = [line.split(" ") for line in record]
    served = tuple(
        Listener(row[3], int(row[0]), _mode(row[1]), row[2] == "proxy", row[3])
        for row in rows
        if len(row) == 4 and row[0].isdigit()
    )
    lists = any(line.startswith("#") for line in record)
    fixed, config = hashes[-2:]
    return Loaded(fixed, config, served if lists else None)


def _mode(word: str) -> Mode:
    return "http" if word == "http" else "tcp"


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


class PeersHealth(NodeFact[tuple[str, ...]]):
    """Which other nodes are well, asked from here as the load balancers ask them."""

    def command(self, addresses: Iterable[str], check: HealthCheck) -> str:
        """A script that prints the address of each that is."""
        asked = (check.port, check.request, check.connect_timeout, ANSWER_TIMEOUT)
        words = shlex.join(map(str, asked))
        return (
            f"for a in {shlex.join(addresses)}; do\n"
            f"    said=$(python3 -IBc {shlex.quote(_HEALTH_PROGRAM)} $a {words})\n"
            '    [ "$said" != asked ] || echo "$a"\n'
            "done"
        )

    def process(self, output: list[str]) -> tuple[str, ...]:
        """The addresses."""
        return tuple(output)

    @staticmethod
    def default() -> tuple[str, ...]:
        """None is well."""
        return ()


class UnusablePrograms(NodeFact[tuple[str, ...]]):
    """Which of some programs a release on a node does not have, or not to start."""

    def command(self, release: str, programs: Iterable[str]) -> str:
        """A script that prints one line for each."""
        return (
            f"cd {shlex.quote(release)} || exit 0\n"
            f"for p in {shlex.join(programs)}; do\n"
            '    [ -f "$p" ] && [ -x "$p" ] || echo "$p"\n'
            "done"
        )

    def process(self, output: list[str]) -> tuple[str, ...]:
        """The lines."""
        return tuple(output)

    @staticmethod
    def default() -> tuple[str, ...]:
        """None is unusable."""
        return ()


def _age(release: list[str]) -> tuple[float, str]:
    version, _, installed_at = release
    return float(installed_at), version


_APPLICATION_SCRIPT = r"""
[ ! -e {out} ] || echo out
if [ -f {record} ]; then
    sed 's/^/loaded\t/' {record}
    printf 'disk everything\t%s\n' "$({everything} 2>&1 | sha256sum | cut -d' ' -f1)"
    printf 'disk fixed\t%s\n' "$({fixed} 2>&1 | sha256sum | cut -d' ' -f1)"
    printf 'disk config\t%s\n' "$(cat {config} 2>&1 | sha256sum | cut -d' ' -f1)"
fi
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
