"""MLLP: messages in frames over TCP, each answered before the next is read."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from .config import Config, Listener

START, END = b"\x0b", b"\x1c\r"
PATIENCE = 30.0
"""Seconds a client may take over one message once it has begun it."""

PROXY_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver(Protocol):
    """What a conversation needs of the application."""

    config: Config

    async def acknowledge(
        self, listener: Listener, message: bytes
    ) -> tuple[str, bytes]:
        """Store a message and return the code and text of its acknowledgement."""

    async def first_byte(
        self, closing: asyncio.Event, reader: asyncio.StreamReader
    ) -> bytes:
        """The next message's first byte; nothing at the end or when its port closes."""


class Door(Protocol):
    """Where a conversation came in."""

    listener: Listener
    closing: asyncio.Event


async def converse(
    application: Receiver,
    door: Door,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one client's messages until it goes away or its port closes.

    A line outside a frame is answered with the node's name, so that people can see
    with telnet where they have arrived.
    """
    listener = door.listener
    while first := await application.first_byte(door.closing, reader):
        if first == START:
            frame = await asyncio.wait_for(reader.readuntil(END), PATIENCE)
            _, answer = await application.acknowledge(listener, frame[: -len(END)])
            writer.write(START + answer + END)
        elif first not in b"\r\n":
            line = first + await asyncio.wait_for(reader.readline(), PATIENCE)
            where = f"{application.config.node} {listener.port} ".encode()
            writer.write(where + line)
        await writer.drain()


async def skip_proxy_header(reader: asyncio.StreamReader) -> None:
    """Read over a PROXY protocol v2 header; ValueError if there is none."""
    header = await asyncio.wait_for(reader.readexactly(16), PATIENCE)
    if not header.startswith(PROXY_SIGNATURE):
        raise ValueError("no PROXY protocol header")
    await reader.readexactly(int.from_bytes(header[14:16], "big"))
