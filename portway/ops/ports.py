"""Facts about TCP ports, the node's own and those of others. They change nothing."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from portway.ops.framing import NodeFact

Bind = tuple[str, int]
"""An address of the node, empty for all of them, and a port."""


@dataclass(frozen=True, slots=True)
class Taker:
    """What occupies a port of the node's own."""

    program: str = ""
    """Empty if it has ended, and the kernel still keeps the port, or is not shown."""
    peer: str = ""
    """Address and port of the other side; empty if it has no connection there."""

    def __str__(self) -> str:
        if not self.peer and self.program:
            return f"{self.program}, which listens there,"
        if not self.peer:
            return "a program that has bound it and does not listen"
        if not self.program:
            return f"a connection to {self.peer} that has just ended"
        return f"an outgoing connection of {self.program} to {self.peer}"


class TakenPorts(NodeFact[dict[int, Taker]]):
    """Ports, of those asked for, that others keep HAProxy from listening on.

    Only a bind shows that: streams that HAProxy itself accepted on a port do not keep
    it from listening there again, and what only connects, or has only bound a port, is
    not listed. So each is bound for a moment, as HAProxy would.
    """

    def command(self, binds: Iterable[Bind]) -> str:
        """A script that prints a line for each, once Python is installed."""
        words = shlex.join(f"{address}:{port}" for address, port in binds)
        return (
            "[ -x /usr/bin/python3 ] || exit 0\n"
            f"/usr/bin/python3 -IBc {shlex.quote(_PROGRAM)} {words}"
        )

    def process(self, output: list[str]) -> dict[int, Taker]:
        """What takes each of those ports."""
        rows = (line.split("\t") for line in output)
        return {int(row[0]): Taker(*row[1:]) for row in rows if len(row) == 3}

    @staticmethod
    def default() -> dict[int, Taker]:
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
import errno, functools, re, socket, subprocess, sys
EVERYWHERE = "0.0.0.0", "*", "[::]"
def sockets(*words):
    # Rows of state, own address, own port, peer and program.
    said = subprocess.run(["ss", *words], stdout=subprocess.PIPE, text=True).stdout
    for line in said.splitlines():
        columns, found = line.split(), re.search(r'"([^"]*)"', line)
        own, _, port = columns[3].rpartition(":")
        yield columns[0], own, port, columns[4], found[1] if found else ""
@functools.cache
def haproxys():
    rows = sockets("-Hltnp")
    return {(own, port) for _, own, port, _, program in rows if program == "haproxy"}
for word in sys.argv[1:]:
    address, _, port = word.rpartition(":")
    ways = (address, f"[::ffff:{address}]", *EVERYWHERE)
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((address, int(port)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE or haproxys() & {(w, port) for w in ways}:
            continue
        rows = sockets("-Htanp", f"sport = :{port}")
        rows = [row for row in rows if not address or row[1] in ways]
        listening = [(row[4], "") for row in rows if row[0] == "LISTEN"]
        others = [(row[4], row[3]) for row in rows if row[0] != "LISTEN"]
        # A listener first, then a connection of a program rather than an ended one.
        print(port, *max(listening or others or [("", "")]), sep="\\t")
    finally:
        probe.close()
"""
