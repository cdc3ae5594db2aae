"""What the programs on a node ask of their host: its addresses, and systemd."""

import os
import re
import socket
from pathlib import Path

KERNEL_ADDRESSES = Path("/proc/net/fib_trie")


def has_address(address: str, kernel: Path = KERNEL_ADDRESSES) -> bool:
    """Whether an IPv4 address is one of this node's own."""
    pattern = rf"\|-- {re.escape(address)}\n\s+/32 host LOCAL"
    return re.search(pattern, kernel.read_text()) is not None


def notify_systemd(text: str) -> None:
    """Notify systemd (sd_notify(3)), if it has started this program."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect("\0" + address[1:] if address[0] == "@" else address)
            s.send(text.encode())
