"""One connection of a client: a message out, its acknowledgement in. MLLP, or HTTP."""

import asyncio
import re
from typing import cast

from lab.traffic.messages import NotAcknowledgedError, check_acknowledgement, message

START, END = b"\x0b", b"\x1c\r"


class Conversation(asyncio.Protocol):
    """One connection with MLLP."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand over an acknowledgement when all of it is there."""
        self._received += data
        answer = self._take()
        if answer is not None and self._answer and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail a waiting exchange at once: no acknowledgement will come."""
        self.lost = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed"))

    async def exchange(self, control_id: str, timeout: float) -> None:
        """Send a message; OSError or NotAcknowledgedError unless it is stored."""
        if self._transport is None or self.lost:
            raise ConnectionResetError("lost between two messages")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(self._framed(message(control_id).encode()))
        answer = await asyncio.wait_for(self._answer, timeout)
        if not answer:
            raise NotAcknowledgedError("somebody else answered")
        check_acknowledgement(answer, control_id)

    def close(self) -> None:
        """Drop the connection and what may still come on it."""
        if self._transport:
            self._transport.abort()

    def _framed(self, text: bytes) -> bytes:
        return START + text + END

    def _take(self) -> bytes | None:
        """An acknowledgement, if all of it was received."""
        frame, end, rest = self._received.partition(END)
        if not end:
            return None
        self._received = rest
        return frame.removeprefix(START)


class HttpConversation(Conversation):
    """One connection with HTTP: each message is a POST."""

    def _framed(self, text: bytes) -> bytes:
        head = f"POST / HTTP/1.1\r\nHost: lb\r\nContent-Length: {len(text)}\r\n\r\n"
        return head.encode() + text

    def _take(self) -> bytes | None:
        """The body of an answer; empty if it is not the application's that is well."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        length = int(found[1]) if found else 0
        if not end or len(rest) < length:
            return None
        self._received = rest[length:]
        return rest[:length] if head.startswith(b"HTTP/1.1 200 ") else b""
