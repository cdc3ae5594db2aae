"""HL7 version 2 as far as it takes to acknowledge: the header's fields, and the answer.

Pure. Messages stay bytes: their encoding is the sender's business.
"""

from dataclasses import dataclass
from datetime import datetime

LONGEST_CONTROL_ID = 199


class NotHl7Error(ValueError):
    """A message without a usable MSH segment."""


@dataclass(frozen=True, slots=True)
class Header:
    """The MSH segment's fields that an acknowledgement is made from."""

    separator: bytes
    fields: tuple[bytes, ...]

    def field(self, number: int) -> bytes:
        """MSH-``number``, from 3 up; empty if it is absent."""
        return self.fields[number - 1] if len(self.fields) >= number else b""

    @property
    def control_id(self) -> str:
        """MSH-10, by which a message is known."""
        return self.field(10).decode("latin-1")


def read_header(message: bytes) -> Header:
    """The header of a message; NotHl7Error if it has none, or no control id."""
    segment = message.lstrip(b"\r\n").split(b"\r", 1)[0].strip(b"\n")
    if not segment.startswith(b"MSH") or len(segment) < 8:
        raise NotHl7Error("no MSH segment")
    separator = segment[3:4]
    header = Header(separator, tuple(segment.split(separator)))
    if not 0 < len(header.control_id) <= LONGEST_CONTROL_ID:
        raise NotHl7Error("no usable control id in MSH-10")
    return header


def acknowledgement(header: Header, code: str, text: str, version: str) -> bytes:
    """An ACK: AA for a stored message, AE for one to send again, AR for a wrong one."""
    bar = header.separator
    trigger = b"^".join(header.field(9).split(b"^")[1:2])
    kind = b"ACK^" + trigger if trigger else b"ACK"
    now = datetime.now().astimezone().strftime("%Y%m%d%H%M%S%z").encode()
    msh = (
        b"MSH",
        header.fields[1],
        header.field(5),
        header.field(6),
        header.field(3),
        header.field(4),
        now,
        b"",
        kind,
        header.field(10),
        header.field(11) or b"P",
        header.field(12) or b"2.5",
    )
    msa = (b"MSA", code.encode(), header.field(10), text.encode())
    software = (b"SFT", b"Message Application", version.encode())
    return b"".join(bar.join(segment) + b"\r" for segment in (msh, software, msa))


UNREADABLE = Header(b"|", (b"MSH", b"^~\\&"))
"""The header that a message without one is answered with."""
