"""Where the sections of an HAProxy file listen."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from portway.haproxy_files.sections import File, Line, Section

ANY = ("", "*", "0.0.0.0")  # noqa: S104 - what a file may say
ANY_V6 = ("::", "[::]")
HARMLESS = {
    "alpn": 1,
    "backlog": 1,
    "crt": 1,
    "defer-accept": 0,
    "id": 1,
    "level": 1,
    "mode": 1,
    "mss": 1,
    "name": 1,
    "nice": 1,
    "process": 1,
    "tcp-ut": 1,
    "tfo": 0,
    "thread": 1,
    "user": 1,
}
"""Words after an address that do not change where a connection goes, and how many
words follow each."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One port that a section listens on, at one address or at all."""

    section: Section
    port: int
    address: IPv4Address | None
    """None for every IPv4 address."""
    tls: bool = False
    expects_proxy: bool = False
    unknown: tuple[str, ...] = ()
    """Words of its ``bind`` that cannot be judged."""


@dataclass(frozen=True, slots=True)
class Listening:
    """All of a file's listeners, and what of its ``bind`` lines could not be read."""

    ports: Mapping[int, tuple[Listener, ...]]
    unread: tuple[str, ...]

    def addresses(self, port: int) -> set[IPv4Address | None]:
        return {listener.address for listener in self.ports.get(port, ())}

    def at(self, address: IPv4Address | None, port: int) -> tuple[Listener, ...]:
        """Who gets what arrives there: a listener's own address goes before all."""
        here = self.ports.get(port, ())
        own = tuple(found for found in here if address and found.address == address)
        return own or tuple(found for found in here if found.address is None)


def listening(file: File) -> Listening:
    """Where a file's sections listen."""
    found: dict[int, list[Listener]] = {}
    unread: list[str] = []
    for section in file.sections:
        if section.kind == "backend" or section.last("disabled"):
            continue
        for line in section.lines:
            if line.starts("bind") and len(line.words) > 1:
                for listener in _bound(section, line, unread, file.source):
                    found.setdefault(listener.port, []).append(listener)
    return Listening(
        {port: tuple(those) for port, those in found.items()}, tuple(unread)
    )


def _bound(
    section: Section, line: Line, unread: list[str], source: str
) -> Iterator[Listener]:
    options = list(line.words[2:])
    tls, proxy = "ssl" in options, "accept-proxy" in options
    both = "v4v6" in options
    unknown = tuple(_unknown(options))
    for place in line.words[1].split(","):
        match = re.fullmatch(
            r"(?:ipv4@|ipv6@)?(.*?):([0-9]+)(?:-([0-9]+))?", place, re.ASCII
        )
        address = match[1] if match else ""
        is_v6 = ":" in address
        if is_v6 and address in ANY_V6 and both:
            unread.append(f"{source}:{line.number}: {place} also listens on IPv6")
            address, is_v6 = "", False
        if not match or is_v6 or not (address in ANY or is_address(address)):
            why = "on IPv6" if is_v6 else "on what is no IPv4 address and port"
            unread.append(f"{source}:{line.number}: {place} listens {why}")
            continue
        first, last = int(match[2]), int(match[3] or match[2])
        if not 0 < first <= last < 65_536:
            unread.append(f"{source}:{line.number}: {place} has no ports")
            continue
        own = None if address in ANY else IPv4Address(address)
        for port in range(first, last + 1):
            yield Listener(section, port, own, tls, proxy, unknown)


def _unknown(options: list[str]) -> Iterator[str]:
    left = [*options]
    while left:
        word = left.pop(0)
        if word in HARMLESS:
            del left[: HARMLESS[word]]
        elif word not in ("ssl", "accept-proxy", "v4v6", "transparent"):
            yield word


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 address."""
    try:
        return bool(IPv4Address(text))
    except ValueError:
        return False
