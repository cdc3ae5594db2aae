#!/usr/bin/python3
"""Stands in for the vendor application: says which node and port a message reached.

It listens on every port of a range. A line is answered with ``NODE PORT LINE`` on the
same connection, which stays open; an HTTP request with a small answer that holds
``NODE PORT``. A health port answers every request with ``ok``.
"""

import asyncio
import os
import socket
from argparse import ArgumentParser
from asyncio import StreamReader, StreamWriter

METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - security groups say who may connect
NODE = socket.gethostname().encode()


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer one connection until its end."""
    port = str(writer.get_extra_info("sockname")[1]).encode()
    try:
        while line := await reader.readline():
            if line.startswith(METHODS):
                await answer_http(reader, writer, line, NODE + b" " + port + b"\n")
            else:
                writer.write(NODE + b" " + port + b" " + line.rstrip(b"\r\n") + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def serve_health(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer health checks, of HTTP or of anything else that sends a line."""
    try:
        while line := await reader.readline():
            await answer_http(reader, writer, line, b"ok\n")
            await writer.drain()
    except (ConnectionError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def answer_http(
    reader: StreamReader, writer: StreamWriter, request: bytes, body: bytes
) -> None:
    """Read the rest of a request and answer it; the connection can go on."""
    length = 0
    while (header := await reader.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(body))
    if not request.startswith(b"HEAD "):
        writer.write(body)


def tell_systemd() -> None:
    """Say that all ports are open."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect(address.replace("@", "\0", 1))
            notify.send(b"READY=1")


async def main() -> None:
    """Open every port and serve until stopped."""
    parser = ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("health", type=int)
    wanted = parser.parse_args()
    for port in range(wanted.first, wanted.last + 1):
        await asyncio.start_server(serve, EVERYWHERE, port, backlog=256)
    await asyncio.start_server(serve_health, EVERYWHERE, wanted.health)
    tell_systemd()
    await asyncio.Event().wait()


asyncio.run(main())
