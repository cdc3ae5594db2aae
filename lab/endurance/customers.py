"""The customer whose connections are held through all changes."""

import os
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import BinaryIO, Self

from lab.errors import LabError
from lab.ground import namespaces
from lab.machines import commands
from lab.plan.names import Lab
from lab.plan.project import PROJECT
from lab.traffic.streams import Streams

FINISH_SECONDS = 20.0


class Customers:
    """Clients that hold connections, in a process of their own."""

    def __init__(self, lab: Lab, address: str) -> None:
        thing, environment = commands.customer(None)
        self._sink: BinaryIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603 - the lab's own program
            [
                *namespaces.inside(lab, thing),
                sys.executable,
                "-m",
                "lab.traffic.held",
                address,
            ],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=self._sink,
            text=True,
        )
        self._streams = Streams()
        self._position = 0
        self._unread = b""

    def open(self, name: str, port: int, kind: str, pause: float) -> None:
        """Have one more client; see ``lab.traffic.held`` for the kinds."""
        self._tell(f"open {name} {port} {kind} {pause}")

    def close(self, name: str) -> None:
        """Have a client hang up."""
        self._tell(f"close {name}")

    @property
    def streams(self) -> Streams:
        """What became of them up to now, one object that grows."""
        size = os.fstat(self._sink.fileno()).st_size
        new = os.pread(self._sink.fileno(), size - self._position, self._position)
        self._position += len(new)
        *lines, self._unread = (self._unread + new).split(b"\n")
        self._streams.read(line.decode() for line in lines)
        return self._streams

    def wait_until_answered(self, names: set[str], seconds: float = 30.0) -> None:
        """Wait until each of some clients was answered; else LabError."""
        deadline = time.monotonic() + seconds
        while waiting := names - {a.client for a in self.streams.answers}:
            if self._process.poll() is not None:
                raise LabError("the held clients ended; their output is printed above")
            if time.monotonic() > deadline:
                raise LabError(
                    f"{len(waiting)} of {len(names)} held clients were not answered "
                    f"within {seconds:.0f} s"
                )
            time.sleep(0.1)

    def stop(self) -> Streams:
        """Have all hang up; what became of them stays."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
            try:
                self._process.wait(FINISH_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return self.streams

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for the types
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LabError(f"the held clients have ended: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
