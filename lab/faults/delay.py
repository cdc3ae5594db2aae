"""Delays the packets of one netfilter queue: ``python -m lab.faults.delay MS``.

The queue's number is the delay in milliseconds. Packets keep their order, and stay in
the kernel: only their numbers pass through here. Run in the router's namespace.
"""

import errno
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator

_NETLINK_NETFILTER = 12

# From linux/netfilter/nfnetlink_queue.h.
_SUBSYSTEM = 3 << 8
_PACKET, _CONFIG, _VERDICT_BATCH = _SUBSYSTEM, _SUBSYSTEM | 2, _SUBSYSTEM | 3
_CONFIG_COMMAND, _CONFIG_PARAMETERS, _CONFIG_LENGTH = 1, 2, 3
_BIND = 1
_COPY_META = 1
_PACKET_HEADER, _VERDICT_HEADER = 1, 2
_ACCEPT = 1
_REQUEST, _ACKNOWLEDGE = 1, 4
_ERROR = 2

_HELD_AT_MOST = 65_536
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def hold(milliseconds: int) -> None:
    """Let every packet of the queue pass when its time has come; never returns."""
    queue = _Queue(milliseconds)
    held: deque[tuple[float, int]] = deque()
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        readable, _, _ = select.select([queue.socket], [], [], wait)
        if readable:
            due = time.monotonic() + milliseconds / 1000
            held.extend((due, packet) for packet in queue.packets())
        last = None
        while held and held[0][0] <= time.monotonic():
            _, last = held.popleft()
        if last is not None:
            queue.release(last)


class _Queue:
    """A netfilter queue, bound for as long as this process lives."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER
        )
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((0, 0))
        self._configure(_CONFIG_COMMAND, struct.pack(">BxH", _BIND, 0))
        self._configure(_CONFIG_PARAMETERS, struct.pack(">IB", 0, _COPY_META))
        self._configure(_CONFIG_LENGTH, struct.pack(">I", _HELD_AT_MOST))

    def packets(self) -> Iterator[int]:
        """The numbers of the packets that came."""
        try:
            answer = self.socket.recv(1 << 16)
        except OSError as error:
            # More came than we could take in: those are lost, as on a full link.
            if error.errno != errno.ENOBUFS:
                raise
            return
        for kind, body in _messages(answer):
            # A family, a version and the queue's number, then attributes.
            if kind == _PACKET and _PACKET_HEADER in (found := _attributes(body[4:])):
                yield struct.unpack_from(">I", found[_PACKET_HEADER])[0]

    def release(self, packet: int) -> None:
        """Let a packet pass, and all that came before it."""
        verdict = struct.pack(">II", _ACCEPT, packet)
        self._send(_VERDICT_BATCH, _REQUEST, _VERDICT_HEADER, verdict)

    def _configure(self, attribute: int, value: bytes) -> None:
        self._send(_CONFIG, _REQUEST | _ACKNOWLEDGE, attribute, value)
        for kind, body in _messages(self.socket.recv(1 << 16)):
            code = struct.unpack_from("=i", body)[0] if kind == _ERROR else 0
            if code:
                raise OSError(-code, f"cannot bind netfilter queue {self._number}")

    def _send(self, kind: int, flags: int, attribute: int, value: bytes) -> None:
        padded = value + bytes(-len(value) % 4)
        body = struct.pack(">BBH", 0, 0, self._number)
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), attribute) + padded
        size = _HEADER.size + len(body)
        self.socket.send(_HEADER.pack(size, kind, flags, 0, 0) + body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : size]
        data = data[(size + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & 0x3FFF] = data[_ATTRIBUTE.size : size]
        data = data[(size + 3) & ~3 :]
    return found


if __name__ == "__main__":
    hold(int(sys.argv[1]))
