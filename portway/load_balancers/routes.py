"""Where a load balancer sends its clients: read from the configuration it has."""

from collections.abc import Iterator
from dataclasses import dataclass

from portway.contract.paths import HAPROXY_CONFIG, LOADED_FOLDER
from portway.errors import PortwayError
from portway.load_balancers.configuration import parse
from portway.load_balancers.lost import ask_unless_left_out
from portway.model.cluster import Cluster
from portway.model.fields import Mode
from portway.model.listeners import Listener, Route
from portway.ops.framing import NodeFact


@dataclass(frozen=True, slots=True)
class FoundRoutes:
    """Where a load balancer sends its clients."""

    routes: tuple[Route, ...] = ()
    is_in_force: bool = True
    """Whether HAProxy has loaded them; if not, it uses others, which nothing says."""
    is_left_out: bool = False
    """Whether it could not be asked, and comes back with the routes that it had."""


class RoutesFacts(NodeFact[FoundRoutes]):
    """The routes of the configuration on a load balancer."""

    def command(self) -> str:
        """A script that prints the lines that matter; nothing if there are none."""
        return _ROUTES_SCRIPT

    def process(self, output: list[str]) -> FoundRoutes:
        """The routes that those lines describe."""
        rows = [line.split(" ") for line in output]
        return FoundRoutes(tuple(_routes(rows)), ["in", "force"] in rows)

    @staticmethod
    def default() -> FoundRoutes:
        """A node without a configuration."""
        return FoundRoutes()


def routes_of(text: str) -> tuple[Route, ...]:
    """The routes of a configuration; what the script finds in it on a node."""
    found = parse(text)
    rows = [
        [*heading.split()[:2], *line.split()[:2]]
        for heading, lines in found.sections.items()
        for line in lines
    ]
    for server in found.servers:
        proxy = "proxy" if "send-proxy-v2" in server.options.split() else "plain"
        rows.append(["backend", server.backend, "server", server.place, proxy])
    return tuple(_routes(rows))


def _routes(rows: list[list[str]]) -> Iterator[Route]:
    of_frontends: dict[str, dict[str, str]] = {}
    modes: dict[str, Mode] = {}
    servers: dict[str, list[list[str]]] = {}
    for kind, name, *rest in (row for row in rows if len(row) >= 4):
        if kind == "frontend":
            of_frontends.setdefault(name, {})[rest[0]] = rest[1]
        elif rest[0] == "mode":
            modes[name] = "http" if rest[1] == "http" else "tcp"
        elif rest[0] == "server":
            servers.setdefault(name, []).append(rest[1:])
    for client, words in of_frontends.items():
        client_port = words.get("bind", "").rpartition(":")[2]
        backend = words.get("default_backend", "")
        if not client_port.isdecimal():
            continue
        for place, proxy in servers.get(backend, []):
            address, _, port = place.partition(":")
            listener = Listener(
                client=client,
                port=int(port or client_port),
                mode=modes.get(backend, "tcp"),
                send_proxy=proxy == "proxy",
                name=client,
            )
            yield Route(int(client_port), address, listener)


def ask_routes(cluster: Cluster) -> dict[str, FoundRoutes]:
    """Where each load balancer sends its clients; PortwayError if one does not say."""
    found = {}
    for lb in cluster.load_balancers:
        left_out = FoundRoutes(is_in_force=False, is_left_out=True)
        try:
            found[lb.name] = ask_unless_left_out(cluster, lb, RoutesFacts) or left_out
        except PortwayError as error:
            raise PortwayError(
                error.message,
                why=f"{lb.name} may be sending clients to an application node, so no "
                "port is closed there",
                do=f"bring {lb.name} back, or terminate it, and run again",
            ) from error
    return found


_ROUTES_SCRIPT = f"""
[ -f {HAPROXY_CONFIG} ] || exit 0
awk '
    $1 ~ /^(global|defaults|frontend|backend|listen)$/ {{ kind = $1; name = $2 }}
    kind == "frontend" && ($1 == "bind" || $1 == "default_backend") {{
        print kind, name, $1, $2
    }}
    kind == "backend" && $1 == "mode" {{ print kind, name, $1, $2 }}
    kind == "backend" && $1 == "server" {{
        print kind, name, $1, $3, / send-proxy-v2( |$)/ ? "proxy" : "plain"
    }}' {HAPROXY_CONFIG}
# What does not run will load what is there.
loaded=$(head -n1 {LOADED_FOLDER}/haproxy 2>/dev/null | cut -d" " -f1)
if [ "$loaded" = "$(sha256sum <{HAPROXY_CONFIG} | cut -d" " -f1)" ] ||
    ! systemctl -q is-active haproxy; then
    echo in force
fi
"""
