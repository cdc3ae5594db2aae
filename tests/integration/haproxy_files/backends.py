"""Servers that say who they are, and clients that say what they see."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

END = b"\r\n\r\n"
REQUEST = b"GET / HTTP/1.0\r\nX-Case: kept in tcp\r\n\r\n"


@contextmanager
def servers(addresses: list[str], ports: list[int]) -> Iterator[None]:
    """Serve at every one of these addresses and ports."""
    chosen, ended = selectors.DefaultSelector(), threading.Event()
    for address in addresses:
        for port in ports:
            server = socket.socket()
            # HAProxy may listen on the same port of every other address.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind((address, port))
            server.listen(64)
            chosen.register(server, selectors.EVENT_READ, f"{address}:{port}")
    thread = threading.Thread(target=_serve, args=(chosen, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for key in list(chosen.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()


def _serve(chosen: selectors.BaseSelector, ended: threading.Event) -> None:
    while not ended.is_set():
        for key, _ in chosen.select(0.2):
            assert isinstance(key.fileobj, socket.socket)
            if isinstance(key.data, str):
                connection, _ = key.fileobj.accept()
                chosen.register(connection, selectors.EVENT_READ, [key.data, b""])
            elif not _goes_on(key.fileobj, key.data):
                chosen.unregister(key.fileobj)
                key.fileobj.close()


def _goes_on(connection: socket.socket, data: list[Any]) -> bool:
    """Read, and answer a whole request; whether more may come."""
    with suppress(OSError):
        received = connection.recv(4096)
        data[1] += received
        if received and (b"HTTP/1" not in data[1] or not data[1].endswith(END)):
            return True
        if received:
            connection.sendall(_answer(*data))
    return False


def _answer(name: str, received: bytes) -> bytes:
    proxy = "v1" if received.startswith(b"PROXY ") else ""
    proxy = "v2" if received.startswith(b"\r\n\r\n\0\r\nQUIT\n") else proxy
    mode = "tcp" if b"X-Case:" in received else "http"
    text = f"{mode} {name} {proxy}"
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()


def seen(source: str, address: str, port: int) -> str:
    """What a client at this source sees there."""
    with socket.socket() as client:
        client.settimeout(5)
        client.bind((source, 0))
        try:
            client.connect((address, port))
        except ConnectionRefusedError:
            return "nobody listens"
        except ConnectionResetError:
            return "closed"
        received = b""
        with suppress(ConnectionError):
            client.sendall(REQUEST)
            while part := client.recv(4096):
                received += part
    if not received:
        return "closed"
    head, _, text = received.decode().partition("\r\n\r\n")
    status = head.split()[1]
    return text.strip() if status == "200" else f"answered with {status}"
