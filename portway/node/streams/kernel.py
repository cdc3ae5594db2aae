"""What the kernel knows of a client's connection: who sent the last byte, and when.

HAProxy counts bytes but does not say which came last, and says how long a stream has
been idle in steps that grow with its timeout. The kernel knows both (TCP_INFO in
tcp(7)), of any process's socket (sock_diag(7)).
"""

import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
REQUEST_DUMP = 0x301
DONE, ERROR = 3, 2
INET_DIAG_INFO = 2
ESTABLISHED = 1
HEADER = struct.Struct("=IHHII")
REMOTE_PORT = struct.Struct(">H")
MESSAGE = 72
"""Length of struct inet_diag_msg."""
NO_COOKIE = b"\xff" * 8


@dataclass(frozen=True, slots=True)
class Connection:
    """An established connection of this node."""

    family: int
    local: tuple[str, int]
    remote: tuple[str, int]
    sent_ago: float
    """Seconds since data was last sent; the kernel counts in steps of some ms."""
    received_ago: float
    acknowledged_ago: float
    """Seconds since the peer last acknowledged anything."""
    received: int
    """Bytes."""
    waiting: int
    """What was sent and not acknowledged, or not even sent; 0 for nothing."""

    @property
    def idle(self) -> float:
        """Seconds."""
        return min(self.sent_ago, self.received_ago)

    @property
    def is_answered(self) -> bool:
        """Whether the last byte went to the peer, and it has everything.

        If both happened in one of the kernel's steps, the peer's acknowledgement tells:
        one that came alone and after its last data is for the answer. A keepalive
        probe, first sent after 30 s of silence, is acknowledged as well.
        """
        if self.waiting:
            return False
        if not self.received or self.sent_ago < self.received_ago:
            return True
        after = self.received_ago - self.acknowledged_ago
        return self.sent_ago == self.received_ago and 0 < after < 25


def established(
    ports: Collection[int], family: int = socket.AF_INET
) -> list[Connection]:
    """Established TCP connections whose other end has one of the ports."""
    return list(_ask(_request(family), REQUEST_DUMP, ports))


def again(seen: Connection) -> Connection | None:
    """The same connection as it is now; None if it has ended."""
    local, remote = seen.local, seen.remote
    place = struct.pack(">HH", local[1], remote[1])
    for address in (local[0], remote[0]):
        place += socket.inet_pton(seen.family, address).ljust(16, b"\0")
    place += bytes(4) + NO_COOKIE
    return next(_ask(_request(seen.family, place), 1, (remote[1],)), None)


def _request(family: int, place: bytes = bytes(48)) -> bytes:
    flags = 1 << (INET_DIAG_INFO - 1)
    head = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, flags, 0, 1 << ESTABLISHED)
    return head + place


def _ask(request: bytes, flags: int, ports: Collection[int]) -> Iterator[Connection]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as s:
        s.settimeout(5)
        length = HEADER.size + len(request)
        s.send(HEADER.pack(length, SOCK_DIAG_BY_FAMILY, flags, 1, 0) + request)
        while True:
            data = s.recv(1 << 18)
            start = 0
            while start < len(data):
                length, kind, *_ = HEADER.unpack_from(data, start)
                if kind in (DONE, ERROR):
                    return
                body = data[start + HEADER.size : start + length]
                (port,) = REMOTE_PORT.unpack_from(body, 6)
                if port in ports and (connection := _connection(body)):
                    yield connection
                if flags != REQUEST_DUMP:
                    return
                start += (length + 3) & ~3


def _connection(body: bytes) -> Connection | None:
    family, state = body[0], body[1]
    if state != ESTABLISHED:
        return None
    size = 4 if family == socket.AF_INET else 16
    local, remote = struct.unpack_from(">HH", body, 4)
    start = MESSAGE
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        if kind == INET_DIAG_INFO and length >= 4 + 148:
            info = body[start + 4 : start + length]
            (unacknowledged,) = struct.unpack_from("=I", info, 24)
            sent, _, received, acknowledged = struct.unpack_from("=IIII", info, 44)
            (total,) = struct.unpack_from("=Q", info, 128)
            (unsent,) = struct.unpack_from("=I", info, 144)
            return Connection(
                family=family,
                local=(socket.inet_ntop(family, body[8 : 8 + size]), local),
                remote=(socket.inet_ntop(family, body[24 : 24 + size]), remote),
                sent_ago=sent / 1000,
                received_ago=received / 1000,
                acknowledged_ago=acknowledged / 1000,
                received=total,
                waiting=unacknowledged + unsent,
            )
        start += max(4, (length + 3) & ~3)
    return None
