"""Facts about a node's TCP ports. They change nothing, and connect to nothing."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api import FactBase


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


class ListeningPorts(FactBase[frozenset[int]]):
    """The ports on which any program of the node listens."""

    def command(self) -> str:
        """One line for each."""
        return f"ss -Hltn | sed -nE '{LISTENING}'"

    def process(self, output: list[str]) -> frozenset[int]:
        """Those ports."""
        return frozenset(int(line) for line in output if line.isdigit())

    @staticmethod
    def default() -> frozenset[int]:
        """A node on which nothing listens."""
        return frozenset()


LISTENING = r"s/^LISTEN +[0-9]+ +[0-9]+ +[^ ]*:([0-9]+) .*/\1/p"
"""Turns a line of ``ss`` into a port."""


class TakenPorts(FactBase[dict[int, Connection]]):
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
        for line in said.splitlines():
            words = line.split()
            if words[0] != "LISTEN":
                found = re.search(r'"([^"]*)"', line)
                print(port, found[1] if found else "", words[4], sep="\\t")
                break
    finally:
        probe.close()
"""
