"""One client at a load balancer: its open streams, and its last lines in the log."""

import shlex
from dataclasses import dataclass

from portway.contract.paths import ADMIN_SOCKET, MASTER_SOCKET
from portway.ops.framing import NodeFact

LINES = 5
"""How many lines of the log are read."""
STREAMS = 1000
"""How many open streams of each process are told one by one, at most."""


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A connection of the client that is open now."""

    source: str
    node: str
    """The application node that it goes to."""
    age: str
    """As HAProxy says it, such as ``1h02m``."""
    worker: int
    """Process id of the older worker that has it; 0 for the newest."""


@dataclass(frozen=True, slots=True)
class ClientSeen:
    """What a load balancer knows of one client."""

    streams: tuple[OpenStream, ...] = ()
    log: tuple[str, ...] = ()
    """Its last lines, the oldest first; docs/runbook.md explains them."""


class ClientStreamsFacts(NodeFact[ClientSeen]):
    """The streams and log lines of one client, in one round trip."""

    def command(self, client: str) -> str:
        """A script that never fails."""
        return _SCRIPT.format(
            admin=ADMIN_SOCKET,
            master=MASTER_SOCKET,
            frontend=shlex.quote(f"fe={client}"),
            line=shlex.quote(f"client={client} source="),
            lines=LINES,
            streams=STREAMS,
        )

    def process(self, output: list[str]) -> ClientSeen:
        """What those lines describe."""
        streams: list[OpenStream] = []
        log: list[str] = []
        worker = 0
        for line in output:
            kind, _, text = line.partition(" ")
            if kind == "worker" and text.isdecimal():
                worker = int(text)
            elif kind == "stream" and len(words := text.split(" ")) == 3:
                source, node, age = words
                streams.append(OpenStream(source, node, age, worker))
            elif kind == "log":
                log.append(text)
        return ClientSeen(tuple(streams), tuple(sorted(log)))

    @staticmethod
    def default() -> ClientSeen:
        """A node on which no HAProxy runs."""
        return ClientSeen()


_SCRIPT = r"""
streams() {{
    awk -v fe={frontend} '{{
        found = 0; src = "?"; srv = "?"; age = "?"
        for (i = 2; i <= NF; i++) {{
            if ($i == fe) found = 1
            if ($i ~ /^src=/) src = substr($i, 5)
            if ($i ~ /^srv=/) srv = substr($i, 5)
            if ($i ~ /^age=/) age = substr($i, 5)
        }}
        if (found && n++ < {streams}) print "stream", src, srv, age
    }}'
}}
master() {{ timeout 1 socat -t1 - UNIX-CONNECT:{master} 2>/dev/null; }}
echo "show sess" | timeout 1 socat -t1 - UNIX-CONNECT:{admin} 2>/dev/null | streams
echo "show proc" | master | awk '
    /^#/ {{ old = /^# old workers/ }}
    old && $2 == "worker" {{ print $1 }}' |
    while read -r pid; do
        echo "worker $pid"
        echo "@!$pid show sess" | master | streams
    done
# With many others' lines there may be no time to find the client's.
timeout 2 journalctl -q -u haproxy --no-pager -o short-iso --since=-7d -n {lines} \
    --grep {line} 2>/dev/null | sed 's/^/log /'
"""
