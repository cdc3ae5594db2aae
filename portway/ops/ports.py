"""Facts about TCP ports, the node's own and those of others. They change nothing."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from portway.ops.framing import NodeFact


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that occupies a port of the node's own."""

    program: str
    """Empty if it has ended, and the kernel still keeps the port."""
    peer: str
    """Address and port of the other side."""

    def __str__(self) -> str:
        if not self.program:
            return f"a connection to {self.peer} that has just ended"
        return f"an outgoing connection of {self.program} to {self.peer}"


class TakenPorts(NodeFact[dict[int, Connection]]):
    """Ports, of those asked for, that connections keep HAProxy from listening on.

    Only a bind shows that: streams that HAProxy itself accepted on a port do not keep
    it from listening there again. So each is bound for a moment, as HAProxy would.
    """

    def command(self, ports: Iterable[int]) -> str:
        """A script that prints a line for each, once Python is installed."""
        words = " ".join(map(str, ports))
        return (
            "[ -x /usr/bin/python3 ] || exit 0\n"
            f"/usr/bin/python3 -IBc {shlex.quote(_PROGRAM)} {words}"
        )

    def process(self, output: list[str]) -> dict[int, Connection]:
        """The connection on each of those ports."""
        rows = (line.split("\t") for line in output)
        return {int(row[0]): Connection(*row[1:]) for row in rows if len(row) == 3}

    @staticmethod
    def default() -> dict[int, Connection]:
        """A node that prints nothing."""
        return {}


class UnreachablePorts(NodeFact[dict[str, str]]):
    """Ports that no address of several accepts a connection on, each with the reason.

    What is asked is given as ``_stdin``, a line for each: a name, the port, and the
    addresses, which are tried until one accepts.
    """

    def command(self, timeout: float) -> str:
        """A script that prints a line for each; ``timeout`` is in seconds."""
        return f"/usr/bin/python3 -IBc {shlex.quote(_CONNECT)} {timeout}"

    def process(self, output: list[str]) -> dict[str, str]:
        """The reasons, by name."""
        rows = (line.split("\t") for line in output)
        return {row[0]: row[1] for row in rows if len(row) == 2}

    @staticmethod
    def default() -> dict[str, str]:
        """All are reached."""
        return {}


_CONNECT = """
import concurrent.futures, socket, sys
def reason(line):
    name, port, *addresses = line.split()
    for address in addresses:
        try:
            socket.create_connection((address, int(port)), float(sys.argv[1])).close()
            return ""
        except OSError as error:
            said = error.strerror or error
    return f"{name}\\t{said}"
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    for said in filter(None, pool.map(reason, sys.stdin)):
        print(said)
"""
_PROGRAM = """
import re, socket, subprocess, sys
for port in sys.argv[1:]:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("", int(port)))
    except OSError:
        ask = ["ss", "-Htanp", f"sport = :{port}"]
        said = subprocess.run(ask, stdout=subprocess.PIPE, text=True).stdout
        rows = []
        for line in said.splitlines():
            words, found = line.split(), re.search(r'"([^"]*)"', line)
            if words[0] != "LISTEN":
                rows.append((found[1] if found else "", words[4]))
        if rows:
            print(port, *max(rows), sep="\\t")  # one of a program rather than an ended
    finally:
        probe.close()
"""
