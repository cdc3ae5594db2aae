"""What the programs on a node ask of their host: its addresses, systemd, its files."""

import os
import socket
import struct
from pathlib import Path

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWADDR, RTM_GETADDR = 20, 22
REQUEST_DUMP = 0x301
IFA_LOCAL = 2
_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")


def has_address(address: str, interface: str = "lo") -> bool:
    """Whether keepalived has given this node an address.

    It puts it on ``lo``. What configures an instance's network may put it on another
    interface, whoever is master, as long as AWS has it there (amazon-ec2-net-utils).
    """
    return socket.inet_aton(address) in _addresses(socket.if_nametoindex(interface))


def _addresses(interface: int) -> set[bytes]:
    """The IPv4 addresses of an interface, from the kernel: see rtnetlink(7)."""
    found: set[bytes] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s:
        s.settimeout(5)
        body = _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)
        length = _HEADER.size + len(body)
        s.send(_HEADER.pack(length, RTM_GETADDR, REQUEST_DUMP, 1, 0) + body)
        while True:
            data = s.recv(1 << 16)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                message = data[_HEADER.size : length]
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", message)[0], "no addresses")
                if kind == RTM_NEWADDR:
                    *_, where = _ADDRESS.unpack_from(message)
                    found |= _local(message) if where == interface else set()
                data = data[(length + 3) & ~3 :]


def _local(message: bytes) -> set[bytes]:
    attributes = message[_ADDRESS.size :]
    while attributes:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == IFA_LOCAL:
            return {attributes[_ATTRIBUTE.size : length]}
        attributes = attributes[(length + 3) & ~3 :]
    return set()


def notify_systemd(text: str) -> None:
    """Notify systemd (sd_notify(3)), if it has started this program."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect("\0" + address[1:] if address[0] == "@" else address)
            s.send(text.encode())


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees either all of it or the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)
