"""Listens on every client's port, stores what comes, and only then acknowledges it."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor

from . import http, mllp
from .config import Config, Faults, Listener
from .database import DatabaseUnavailableError, RefusedMessageError, Store
from .health import Health
from .hl7 import UNREADABLE, NotHl7Error, acknowledgement, read_header
from .version import BROKEN, VERSION

CONNECTIONS = 4
"""Database connections, and so messages stored at once."""

LONGEST_MESSAGE = 16 * 1024 * 1024
LONGEST_FINISH = 10.0
"""Seconds that messages in hand get when the program is told to stop."""


class Application:
    """The running program."""

    def __init__(self, config: Config, faults: Faults) -> None:
        self.config = config
        self.faults = faults
        self.stopping = asyncio.Event()
        self._store = Store(config.database)
        self._workers = ThreadPoolExecutor(CONNECTIONS, "database")
        self._health = Health(Store(config.database), faults, broken=BROKEN)
        self._conversations: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until told to stop, then finish the messages in hand."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        await self._wait(self.faults.get("start_delay"))
        if self.stopping.is_set():
            return
        servers = [
            await asyncio.start_server(
                self._accept(listener), port=listener.port, limit=LONGEST_MESSAGE
            )
            for listener in self.config.listeners
        ]
        health = await asyncio.start_server(
            self._health.answer, port=self.config.health_port
        )
        print(f"version {VERSION} serves {len(servers)} clients", flush=True)
        await self.stopping.wait()
        print("stopping", flush=True)
        for server in (health, *servers):
            server.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=LONGEST_FINISH)
        print(f"stopped with {len(self._conversations)} unfinished", flush=True)

    async def acknowledge(
        self, listener: Listener, message: bytes
    ) -> tuple[str, bytes]:
        """Store a message and return the code and text of its acknowledgement."""
        try:
            header = read_header(message)
        except NotHl7Error as error:
            return "AR", acknowledgement(UNREADABLE, "AR", str(error), VERSION)
        code, text = await self._put(listener, header.control_id, message)
        return code, acknowledgement(header, code, text, VERSION)

    async def first_byte(self, reader: asyncio.StreamReader) -> bytes:
        """The next message's first byte; nothing at the end or when stopping."""
        read = asyncio.ensure_future(reader.read(1))
        stop = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait({read, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if read.done():
            return read.result()
        read.cancel()
        return b""

    async def _put(
        self, listener: Listener, control_id: str, message: bytes
    ) -> tuple[str, str]:
        if self.faults.get("refuse"):
            return "AE", "told to refuse"
        row = {
            "client": listener.client,
            "control_id": control_id,
            "node": self.config.node,
            "version": VERSION,
            "body": message,
        }
        await self._fault("before_commit")
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._workers, self._store.put, row)
        except DatabaseUnavailableError as error:
            print(f"not stored: {error}", flush=True)
            return "AE", "the database is not available; send again"
        except RefusedMessageError as error:
            return "AR", str(error)
        await self._fault("before_ack")
        return "AA", f"{self.config.node} {listener.port}"

    async def _fault(self, place: str) -> None:
        if self.faults.get("crash") == place:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(float(self.faults.get(place) or 0))

    async def _wait(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds or 0)
        except TimeoutError:
            return

    def _accept(self, listener: Listener) -> mllp.Accept:
        converse = http.converse if listener.mode == "http" else mllp.converse

        async def accept(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            task = asyncio.current_task()
            if task is None:
                return
            self._conversations.add(task)
            try:
                if listener.proxy:
                    await mllp.skip_proxy_header(reader)
                await converse(self, listener, reader, writer)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                pass  # the client went away or does not speak the protocol
            finally:
                writer.close()
                self._conversations.discard(task)

        return accept
