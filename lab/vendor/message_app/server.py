"""Listens on every client's port, stores what comes, and only then acknowledges it."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import http, mllp
from .config import Database, Faults, Listener, read_config
from .database import DatabaseUnavailableError, RefusedMessageError, Store
from .health import Health
from .hl7 import UNREADABLE, NotHl7Error, acknowledgement, read_header
from .version import BROKEN, VERSION

CONNECTIONS = 4
"""Database connections, and so messages stored at once."""

LONGEST_MESSAGE = 16 * 1024 * 1024
LONGEST_FINISH = 10.0
"""Seconds that messages in hand get when the program is told to stop."""


class Port:
    """A client's port, open; those who came in on it are told when it closes."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.closing = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self, accept: mllp.Accept) -> None:
        """Listen; OSError if the port cannot be had."""
        self._server = await asyncio.start_server(
            accept, port=self.listener.port, limit=LONGEST_MESSAGE
        )

    def close(self) -> None:
        """Accept nobody more, and end conversations between two messages."""
        self.closing.set()
        if self._server is not None:
            self._server.close()


class Application:
    """The running program."""

    def __init__(self, path: Path, faults: Faults) -> None:
        self._path = path
        self.config = read_config(path)
        self.faults = faults
        self.stopping = asyncio.Event()
        self._store = Store(self.config.database, faults)
        self._workers = ThreadPoolExecutor(CONNECTIONS, "database")
        self._health = Health(
            Store(self.config.database, faults), faults, broken=BROKEN
        )
        self._conversations: set[asyncio.Task[None]] = set()
        self._ports: dict[int, Port] = {}
        self._reloading = asyncio.Lock()

    async def run(self) -> None:
        """Serve until told to stop, then finish the messages in hand."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(
            signal.SIGHUP, lambda: reloads.add(loop.create_task(self.reload()))
        )
        await self._wait(self.faults.get("start_delay"))
        if self.stopping.is_set():
            return
        for listener in self.config.listeners:
            await self._open(listener)
        health = await asyncio.start_server(
            self._health.answer, port=self.config.health_port
        )
        print(f"version {VERSION} serves {len(self._ports)} clients", flush=True)
        await self.stopping.wait()
        print("stopping", flush=True)
        health.close()
        for port in self._ports.values():
            port.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=LONGEST_FINISH)
        print(f"stopped with {len(self._conversations)} unfinished", flush=True)

    async def reload(self) -> None:
        """Take over the configuration file; streams of ports that stay go on."""
        async with self._reloading:
            try:
                config = read_config(self._path)
            except (OSError, KeyError, ValueError) as error:
                print(f"not reloaded: {error!r}", flush=True)
                return
            if config.database != self.config.database:
                self._use_database(config.database)
            self.config = config
            wanted = {listener.port: listener for listener in config.listeners}
            for number, port in list(self._ports.items()):
                if wanted.get(number) != port.listener:
                    self._ports.pop(number).close()
            for listener in config.listeners:
                if listener.port not in self._ports:
                    try:
                        await self._open(listener)
                    except OSError as error:
                        print(f"port {listener.port}: {error}", flush=True)
            print(f"reloaded; it serves {len(self._ports)} clients", flush=True)

    def _use_database(self, database: Database) -> None:
        self._store = Store(database, self.faults)
        self._health.use(Store(database, self.faults))
        # Connections belong to threads, so they end with them.
        self._workers.shutdown(wait=False)
        self._workers = ThreadPoolExecutor(CONNECTIONS, "database")

    async def _open(self, listener: Listener) -> None:
        port = Port(listener)
        await port.open(self._accept(port))
        self._ports[listener.port] = port

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

    async def first_byte(
        self, closing: asyncio.Event, reader: asyncio.StreamReader
    ) -> bytes:
        """The next message's first byte; nothing at the end or when its port closes."""
        read = asyncio.ensure_future(reader.read(1))
        stop = asyncio.ensure_future(closing.wait())
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

    def _accept(self, port: Port) -> mllp.Accept:
        listener = port.listener
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
                await converse(self, port, reader, writer)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                pass  # the client went away or does not speak the protocol
            finally:
                writer.close()
                self._conversations.discard(task)

        return accept
