"""The health port: status 200 while the database works, 503 while it does not.

It knows one path.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from .config import Faults
from .database import DatabaseUnavailableError, Store
from .http import response

FRESH = 1.0
"""Seconds for which one look at the database answers every question."""

PATH = b"/health"
LONGEST_CHECK = 2.0
PATIENCE = 5.0


class Health:
    """Answers health checks, looking at the database at most once a second."""

    def __init__(self, store: Store, faults: Faults, *, broken: bool) -> None:
        self._store = store
        self._faults = faults
        self._broken = broken
        self._worker = ThreadPoolExecutor(1, "health")
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._works = False

    def use(self, store: Store) -> None:
        """Look at another database, or as another user, from now on."""
        self._store = store
        self._looked_at = float("-inf")

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request."""
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            status = self._faults.get("health")
            if head.split(b" ")[1:2] != [PATH]:
                status = "404 Not Found"
            if status is None:
                status = "200 OK" if await self._is_well() else "503 Unavailable"
            writer.write(response(str(status), b""))
            await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # whoever asked did not wait
        finally:
            writer.close()

    async def _is_well(self) -> bool:
        async with self._lock:
            if time.monotonic() - self._looked_at > FRESH:
                self._works = await self._look()
                self._looked_at = time.monotonic()
        return self._works and not self._broken

    async def _look(self) -> bool:
        loop = asyncio.get_running_loop()
        look = loop.run_in_executor(self._worker, self._store.check)
        try:
            await asyncio.wait_for(look, LONGEST_CHECK)
        except (DatabaseUnavailableError, TimeoutError) as error:
            if self._works or self._looked_at < 0:
                print(f"the database does not work: {error!r}", flush=True)
            return False
        return True
