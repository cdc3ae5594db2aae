"""Clients that send all the time, and write down every acknowledgement as it comes.

Run as a customer: ``python -m lab client -- python -m lab.traffic.senders …``.
Each behaves as a prompt sender of HL7 does: one message at a time on a connection, and
the same message again on a new one if the connection breaks or no acknowledgement comes
in time. One process and no threads, so that many clients cost little.

It prints lines in the format of ``acknowledgements`` until SIGTERM or SIGINT. Then each
client finishes the message it is sending if that takes less than ``FINISH_SECONDS``.
"""

import argparse
import asyncio
import signal
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab.traffic.acknowledgements import Acknowledgement, Refusal, written
from lab.traffic.conversations import Conversation, HttpConversation
from lab.traffic.messages import NotAcknowledgedError

FLUSH_SECONDS = 0.1
FINISH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """How a client sends; all in seconds."""

    pause: float = 0.1
    """From an acknowledgement to the next message."""
    acknowledgement_timeout: float = 1.0
    connect_timeout: float = 0.5
    retry: float = 0.1
    """From a failure to the next connection."""


@dataclass(frozen=True, slots=True)
class Where:
    """What clients connect to: an address, or a name that may come to mean another."""

    name: str
    names: Path | None = None
    """A file as /etc/hosts that has the name; it is read for each connection."""
    http: tuple[int, ...] = ()
    """The ports that speak HTTP."""

    def address(self) -> str:
        """What the name means now; the name itself if the file does not have it."""
        lines = self.names.read_text().splitlines() if self.names else []
        known = {line.split()[1]: line.split()[0] for line in lines}
        return known.get(self.name, self.name)


class Client:
    """One client: a name, a port, and the connection that it has at the moment."""

    def __init__(
        self, number: int, where: Where, port: int, options: SenderOptions
    ) -> None:
        self._number = number
        self._where = where
        self._port = port
        self._options = options
        self._conversation: Conversation | None = None
        self._refused_since: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Send until stopped, and then finish the current message."""
        # Not all at the same moment: clients do not know each other.
        await asyncio.sleep(self._options.pause * (self._number % 10) / 10)
        while not stop.is_set():
            await self._deliver(str(uuid.uuid4()))
            await asyncio.sleep(self._options.pause)

    async def _deliver(self, control_id: str) -> None:
        """Send one message until it is acknowledged."""
        tries = 0
        while True:
            conversation = self._conversation or await self._connect()
            tries += 1
            try:
                await conversation.exchange(
                    control_id, self._options.acknowledgement_timeout
                )
            except (OSError, TimeoutError, NotAcknowledgedError):
                conversation.close()
                self._conversation = None
                await asyncio.sleep(self._options.retry)
                continue
            seen = Acknowledgement(self._number, time.time(), control_id, tries)
            sys.stdout.write(written(seen))
            return

    async def _connect(self) -> Conversation:
        loop = asyncio.get_running_loop()
        while True:
            is_http = self._port in self._where.http
            kind = HttpConversation if is_http else Conversation
            address = self._where.address()
            opening = loop.create_connection(kind, address, self._port)
            try:
                _, conversation = await asyncio.wait_for(
                    opening, self._options.connect_timeout
                )
            except (OSError, TimeoutError):
                self._refused_since = self._refused_since or time.time()
                await asyncio.sleep(self._options.retry)
                continue
            if self._refused_since is not None:
                seen = Refusal(self._number, self._refused_since, time.time())
                sys.stdout.write(written(seen))
                self._refused_since = None
            self._conversation = conversation
            return conversation


async def send(
    where: Where, ports: list[int], clients: int, options: SenderOptions
) -> None:
    """Send with many clients until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    before = time.process_time()
    print(f"started {time.time():.4f}", flush=True)
    tasks = [
        asyncio.create_task(
            Client(number, where, ports[number % len(ports)], options).run(stop)
        )
        for number in range(clients)
    ]
    while not stop.is_set():
        await _wait(stop, FLUSH_SECONDS)
        sys.stdout.flush()
    ended = time.time()
    _, unfinished = await asyncio.wait(tasks, timeout=FINISH_SECONDS)
    for task in unfinished:
        task.cancel()
    print(f"ended {ended:.4f} {time.process_time() - before:.2f}", flush=True)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def main() -> None:
    """Parse the command line and send."""
    usual = SenderOptions()
    parser = argparse.ArgumentParser(prog="python -m lab.traffic.senders")
    parser.add_argument("address")
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--names", type=Path)
    parser.add_argument("--http", type=int, action="append", default=[])
    for option, default in (
        ("pause", usual.pause),
        ("acknowledgement-timeout", usual.acknowledgement_timeout),
        ("connect-timeout", usual.connect_timeout),
        ("retry", usual.retry),
    ):
        parser.add_argument(f"--{option}", type=float, default=default)
    wanted = vars(parser.parse_args())
    address, names = wanted.pop("address"), wanted.pop("names")
    where = Where(address, names, tuple(wanted.pop("http")))
    ports, clients = wanted.pop("ports"), wanted.pop("clients")
    asyncio.run(send(where, ports, clients, SenderOptions(**wanted)))


if __name__ == "__main__":
    main()
