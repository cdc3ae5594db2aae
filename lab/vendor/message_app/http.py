"""HTTP/1.1 as far as clients need it: a message in a POST, its answer in the body."""

import asyncio

from .mllp import PATIENCE, Door, Receiver

STATUS = {"AA": "200 OK", "AE": "503 Service Unavailable", "AR": "400 Bad Request"}


async def converse(
    application: Receiver,
    door: Door,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one connection's requests until it ends or its port closes.

    A GET is answered with the node's name, so that people can see where they are.
    """
    listener = door.listener
    while first := await application.first_byte(door.closing, reader):
        head = first + await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        request, _, rest = head.decode("latin-1").partition("\r\n")
        fields = dict(_field(line) for line in rest.splitlines() if line)
        if fields.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(fields.get("content-length", "0"))
        message = await asyncio.wait_for(reader.readexactly(length), PATIENCE)
        if request.startswith("POST "):
            code, body = await application.acknowledge(listener, message)
        else:
            node = application.config.node
            code, body = "AA", f"{node} {listener.port}\n".encode()
        writer.write(response(STATUS[code], body))
        await writer.drain()
        if fields.get("connection", "").lower() == "close":
            return


def response(status: str, body: bytes) -> bytes:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
