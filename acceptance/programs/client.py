"""The client: sends messages all the time and prints what came of each, in JSON.

It needs nothing but Python, because it runs where clients are: its text is given to
``python3 -`` there. Each message has a connection of its own, and they begin by the
clock whatever became of those before. One more connection is kept and used once a
second; it shows what becomes of streams that are open.
"""

import json
import socket
import sys
import threading
import time
import uuid
from typing import Any

_printing = threading.Lock()


def tell(event: str, **values: Any) -> None:
    """Print a line; end everything when nobody reads any more."""
    line = json.dumps({"at": time.time(), "event": event, **values})
    with _printing:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:
            import os  # noqa: PLC0415 - never needed otherwise

            os._exit(1)


def exchange(connection: socket.socket, message: str, expected: bytes) -> None:
    """Send a message and wait for its answer; OSError unless it is the expected one."""
    connection.sendall(message.replace("{id}", str(uuid.uuid4())).encode("latin-1"))
    received = b""
    while expected not in received:
        part = connection.recv(4096)
        if not part:
            raise ConnectionResetError(f"closed after {received[:80]!r}")
        received += part


def send_one(number: int, wanted: dict[str, Any]) -> None:
    """One message on a connection of its own."""
    began = time.time()
    place = wanted["address"], wanted["port"]
    try:
        with socket.create_connection(place, wanted["connect_seconds"]) as connection:
            connection.settimeout(wanted["answer_seconds"])
            exchange(connection, wanted["message"], wanted["expect"].encode("latin-1"))
    except OSError as error:
        tell("failed", n=number, sent=began, error=f"{type(error).__name__}: {error}")
    else:
        tell("acknowledged", n=number, sent=began)


def keep_stream(wanted: dict[str, Any], end: float) -> None:
    """A message every second on one connection, and what becomes of it."""
    place = wanted["address"], wanted["port"]
    while time.time() < end:
        opened = time.time()
        try:
            with socket.create_connection(place, wanted["answer_seconds"]) as stream:
                while time.time() < end:
                    expected = wanted["expect"].encode("latin-1")
                    exchange(stream, wanted["message"], expected)
                    time.sleep(1.0)
        except OSError as error:
            text = f"{type(error).__name__}: {error}"
            tell("stream-ended", opened=opened, error=text)
            time.sleep(0.5)


def main(wanted: dict[str, Any]) -> None:
    """Send until nobody reads, or the longest time has passed."""
    tell("started")
    end = time.time() + wanted["seconds"]
    stream = threading.Thread(target=keep_stream, args=(wanted, end), daemon=True)
    stream.start()
    places = threading.BoundedSemaphore(wanted["at_once"])
    number = 0
    following = time.monotonic()
    while time.time() < end:
        number += 1
        if places.acquire(blocking=False):

            def one(number: int = number) -> None:
                try:
                    send_one(number, wanted)
                finally:
                    places.release()

            threading.Thread(target=one, daemon=True).start()
        following += wanted["pause"]
        time.sleep(max(following - time.monotonic(), 0))
