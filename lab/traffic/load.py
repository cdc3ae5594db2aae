"""A load of messages from many clients, and whether the database has what they sent.

The sending is a child process in the customer's namespace (``senders``), so that
whoever measures does not disturb what is measured.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import BinaryIO, Self

from lab.errors import LabError
from lab.ground import shell
from lab.machines import hosts
from lab.plan import records
from lab.plan.names import Lab
from lab.plan.project import CLIENTS, PROJECT
from lab.traffic.acknowledgements import Reader, Report, percentile
from lab.traffic.senders import FINISH_SECONDS, SenderOptions, Where

_MISSING = """\
CREATE TEMPORARY TABLE asked (control_id text);
COPY asked FROM STDIN;
{ids}
\\.
SELECT control_id FROM asked EXCEPT SELECT control_id FROM messages.messages;
"""


class Load:
    """Clients that send until they are stopped."""

    def __init__(
        self, process: subprocess.Popen[bytes], sink: BinaryIO, clients: int
    ) -> None:
        self._process = process
        self._sink = sink
        """A file that the child writes to."""
        self._reader = Reader(clients)
        self._position = 0
        self._unread = b""

    @classmethod
    def start(
        cls,
        lab: Lab,
        address: str | Where,
        ports: Sequence[int],
        clients: int = 20,
        **options: float,
    ) -> "Load":
        """Begin to send, each client to one of the ports in turn.

        ``options`` are fields of ``senders.SenderOptions``, such as ``pause=0.1``.
        """
        if clients < 1 or not ports:
            raise LabError(
                "a load needs a client and a port to send to: give at least one of each"
            )
        given = {"clients": clients, **asdict(SenderOptions(**options))}
        words = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
        where = Where(address) if isinstance(address, str) else address
        words += [f"--names={where.names}"] if where.names else []
        words += [f"--http={port}" for port in where.http]
        command = [sys.executable, "-m", "lab", "client", "--name", lab.name, "--"]
        program = [sys.executable, "-m", "lab.traffic.senders", *words, where.name]
        sink = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - ``stop`` closes it
        process = subprocess.Popen(  # noqa: S603 - the lab's own command line
            [*command, *program, *map(str, ports)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
        )
        return cls(process, sink, clients)

    @property
    def report(self) -> Report:
        """What was acknowledged up to now, one object that grows until ``stop``."""
        if self._sink.closed:
            return self._reader.report
        # The child writes at the same offset: read without moving it.
        size = os.fstat(self._sink.fileno()).st_size
        new = os.pread(self._sink.fileno(), size - self._position, self._position)
        self._position += len(new)
        *lines, self._unread = (self._unread + new).split(b"\n")
        self._reader.read(line.decode() for line in lines)
        return self._reader.report

    def is_served(self, since: float) -> bool:
        """Whether every client was acknowledged after a moment (of the epoch)."""
        return self.report.all_served_since(since) is not None

    def wait_until_served(self, since: float = 0.0, seconds: float = 20.0) -> None:
        """Wait until every client was acknowledged after a moment; else LabError."""
        deadline = time.monotonic() + seconds
        while not self.is_served(since):
            if self._process.poll() is not None:
                raise LabError(
                    "the load ended before it was stopped; its output is printed above"
                )
            if time.monotonic() > deadline:
                waiting = sum(
                    client.first_after(since) is None for client in self.report.clients
                )
                raise LabError(
                    f"{waiting} of {len(self.report.clients)} clients were not "
                    f"acknowledged within {seconds:.0f} s"
                )
            time.sleep(0.1)

    def stop(self) -> Report:
        """Stop sending; the report is complete then, and stays as it is."""
        if not self._sink.closed:
            self._process.terminate()
            try:
                self._process.wait(FINISH_SECONDS + 20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            ended = self.report.ended
            self._sink.close()
            if not ended:
                raise LabError(
                    "the load ended before it was stopped; its output is printed above"
                )
        return self._reader.report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except LabError:
            if error is None:
                raise


def missing(lab: Lab, report: Report) -> set[str]:
    """The acknowledged ids that the lab's database, asked itself, does not have."""
    return not_stored(lab, report.acknowledged)


def not_stored(lab: Lab, asked: Collection[str]) -> set[str]:
    """Those of some ids that the lab's database, asked itself, does not have."""
    if not asked:
        return set()
    databases = [h for h in records.hosts(lab) if h.role == records.DATABASE_ROLE]
    if len(databases) != 1:
        raise LabError(f"lab {lab.name} has no database: python -m lab up")
    psql = ["psql", "-qtAX", "-v", "ON_ERROR_STOP=1", "-d", "messages", "-f", "-"]
    command = ["runuser", "-u", "postgres", "--", *psql]
    program = _MISSING.format(ids="\n".join(sorted(asked)))
    # Through stdin: no command line takes this many ids.
    found = shell.output(hosts.inside(lab, databases[0], command), stdin=program)
    return set(found.split())


def tcp_ports() -> list[int]:
    """The ports of the lab's clients that speak MLLP."""
    clients = json.loads(CLIENTS.read_text())["clients"]
    return [c["client_port"] for c in clients if c.get("mode", "tcp") == "tcp"]


def send(
    lab: Lab, address: str, clients: int, seconds: float, **options: float
) -> tuple[Report, set[str]]:
    """Send for some time; what became of it, and which ids the database lacks."""
    with Load.start(lab, address, tcp_ports(), clients, **options) as load:
        load.wait_until_served()
        time.sleep(seconds)
        report = load.stop()
    return report, missing(lab, report)


def table(report: Report, lost: set[str]) -> str:
    """The figures of a load, for people."""
    lines = ["client  acknowledged  re-sent  longest gap      at"]
    gaps = report.longest_gaps()
    for number, client in enumerate(report.clients):
        gap = gaps[number]
        lines.append(
            f"{number + 1:>6}  {len(client.ids):>12}  {client.resent:>7}  "
            f"{gap.seconds:>9.3f} s  {gap.start - report.started:>+5.1f} s"
        )
    took = report.ended - report.started
    outages = report.outages()
    return "\n".join(
        (
            *lines,
            "",
            f"{len(report.acknowledged)} messages acknowledged in {took:.1f} s, "
            f"{report.resent} of them sent more than once, "
            f"{len(lost)} not in the database",
            f"outage: median {percentile(outages, 0.5):.3f} s, "
            f"95th {percentile(outages, 0.95):.3f} s, longest {max(outages):.3f} s",
            f"the clients took {report.cpu_seconds / took:.0%} of one processor",
        )
    )
