"""Clients that hold connections, and write down what becomes of each.

Run as a customer: ``python -m lab.traffic.held ADDRESS``. It is told on standard input
whom to be, a line for each, and prints lines in the format of ``streams``:

    open NAME PORT KIND PAUSE
    close NAME

A ``busy`` client sends a message every PAUSE seconds, and on a new connection when its
own is cut: first the one that had no answer. An ``idle`` one sends one and is silent
from then on. A ``slow`` one takes PAUSE seconds over each message, so that one is in
flight all the time. A ``probe`` sends each message on a connection of its own.
"""

import argparse
import asyncio
import sys
import time
import uuid
from contextlib import suppress

from lab.traffic.conversations import END, START
from lab.traffic.messages import NotAcknowledgedError, check_acknowledgement, message
from lab.traffic.streams import Answered, Ended, Opened, written

ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 2.0
RETRY_SECONDS = 0.2


class Held:
    """One client and the connection that it has."""

    def __init__(self, name: str, address: str, port: int) -> None:
        self.name = name
        self._to = address, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._unanswered = ""
        """The message that was begun and has no answer yet."""

    async def run(self, kind: str, pause: float) -> None:
        """Be a client of a kind until cancelled, or until an only connection ends."""
        try:
            while True:
                try:
                    await self._once(kind, pause)
                except (OSError, EOFError, TimeoutError, NotAcknowledgedError) as error:
                    self._end(_how(error))
                    if kind in ("idle", "slow"):
                        return
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._end("hung-up")

    async def _once(self, kind: str, pause: float) -> None:
        if self._writer is None:
            await self._connect()
        if kind == "idle":
            await self._exchange()
            await self._until_ended()
        elif kind == "slow":
            await self._exchange(pause)
        elif kind == "probe":
            await self._exchange()
            self._end("hung-up")
            await asyncio.sleep(pause)
        else:
            await self._exchange()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._until_ended(), pause)

    async def _connect(self) -> None:
        opening = asyncio.open_connection(*self._to)
        reader, writer = await asyncio.wait_for(opening, CONNECT_SECONDS)
        self._reader, self._writer = reader, writer
        port = writer.get_extra_info("sockname")[1]
        _say(Opened(self.name, time.time(), port))

    async def _exchange(self, seconds: float = 0.0) -> None:
        """Send a message, slowly if asked to, and take its answer."""
        assert self._reader is not None  # noqa: S101 - for the types
        assert self._writer is not None  # noqa: S101
        id_ = self._unanswered = self._unanswered or str(uuid.uuid4())
        text = START + message(id_).encode() + END
        self._writer.write(text[:40])
        if seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._until_ended(), seconds)
        self._writer.write(text[40:])
        reading = self._reader.readuntil(END)
        answer = await asyncio.wait_for(reading, ANSWER_SECONDS)
        said = check_acknowledgement(answer[: -len(END)].removeprefix(START), id_)
        _say(Answered(self.name, time.time(), id_, said.partition(" ")[0]))
        self._unanswered = ""

    async def _until_ended(self) -> None:
        """Wait until the other side ends the connection; EOFError or OSError then."""
        assert self._reader is not None  # noqa: S101 - for the types
        if not await self._reader.read(1):
            raise EOFError
        raise NotAcknowledgedError("bytes that nobody asked for")

    def _end(self, how: str) -> None:
        if self._writer is not None:
            _say(Ended(self.name, time.time(), how, in_flight=bool(self._unanswered)))
            self._writer.close()
        self._reader = self._writer = None


def _how(error: Exception) -> str:
    if isinstance(error, EOFError):  # IncompleteReadError is one
        return "closed"
    return "silent" if isinstance(error, TimeoutError) else "reset"


def _say(seen: Opened | Answered | Ended) -> None:
    sys.stdout.write(written(seen))


async def hold(address: str) -> None:
    """Do what standard input says, until it ends; then hang up everywhere."""
    loop = asyncio.get_running_loop()
    told = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    flushing = loop.create_task(_flush())
    clients: dict[str, asyncio.Task[None]] = {}
    while line := (await told.readline()).decode().split():
        verb, name, *rest = line
        if verb == "open":
            port, kind, pause = rest
            run = Held(name, address, int(port)).run(kind, float(pause))
            clients[name] = loop.create_task(run)
        elif name in clients:
            # Over before somebody of that name comes again.
            await _end(clients.pop(name))
    await asyncio.gather(*map(_end, clients.values()))
    flushing.cancel()
    sys.stdout.flush()


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it is done: ``wait_for`` may miss it, up to Python 3.11."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)


async def _flush() -> None:
    while True:
        await asyncio.sleep(0.1)
        sys.stdout.flush()


def main() -> None:
    """Parse the command line and hold connections."""
    parser = argparse.ArgumentParser(prog="python -m lab.traffic.held")
    parser.add_argument("address")
    asyncio.run(hold(parser.parse_args().address))


if __name__ == "__main__":
    main()
