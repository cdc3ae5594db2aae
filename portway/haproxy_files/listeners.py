"""Where the sections of an HAProxy file listen."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from portway.haproxy_files.durations import number
from portway.haproxy_files.lines import Line, Reason
from portway.haproxy_files.sections import File, Section

ANY = ("", "*", "0.0.0.0")  # noqa: S104 - what a file may say
ANY_V6 = ("::", "[::]")
HARMLESS = {
    "backlog": 1,
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
GREETING = ("alpn", "crt", "crt-list", "npn")
"""Words of what clients with TLS are shown; files are known by their names."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One port that a section listens on, at one address or at all."""

    section: Section
    port: int
    address: IPv4Address | None
    """None for every IPv4 address."""
    tls: tuple[str, ...] = ()
    """How clients are greeted, if with TLS."""
    expects_proxy: bool = False
    unknown: tuple[Reason, ...] = ()
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
    unread: list[Reason] = []
    for section in file.sections:
        if section.kind == "backend" or section.is_disabled:
            continue
        for line in section.starting("bind"):
            for listener in _bound(section, line, unread):
                found.setdefault(listener.port, []).append(listener)
    return Listening(
        {port: tuple(those) for port, those in found.items()},
        tuple(reason.of(file.source) for reason in unread),
    )


def _bound(section: Section, line: Line, unread: list[Reason]) -> Iterator[Listener]:
    options = list(line.words[2:])
    greeting, strange = _options(options)
    tls = greeting if "ssl" in options else ()
    proxy, both = "accept-proxy" in options, "v4v6" in options
    unknown = (line.because(strange[0]),) if strange else ()
    for place in line.words[1].split(","):
        match = re.fullmatch(
            r"(?:ipv4@|ipv6@)?(.*?):([0-9]+)(?:-([0-9]+))?", place, re.ASCII
        )
        address = match[1] if match else ""
        is_v6 = ":" in address
        if is_v6 and address in ANY_V6 and both:
            unread.append(Reason(f"{place} also listens on IPv6", line.number))
            address, is_v6 = "", False
        if not match or is_v6 or not (address in ANY or is_address(address)):
            why = "on IPv6" if is_v6 else "on what is no IPv4 address and port"
            unread.append(Reason(f"{place} listens {why}", line.number))
            continue
        first, last = number(match[2]), number(match[3] or match[2])
        if first is None or last is None or not 0 < first <= last < 65_536:
            unread.append(Reason(f"{place} has no ports", line.number))
            continue
        own = None if address in ANY else IPv4Address(address)
        for port in range(first, last + 1):
            yield Listener(section, port, own, tls, proxy, unknown)


def _options(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """How TLS greets clients, and the words that cannot be judged."""
    greeting, left = ["TLS"], deque(words)
    unknown: list[str] = []
    while left:
        word = left.popleft()
        if word in GREETING and left:
            greeting.append(f"{word} {left.popleft()}")
        elif word in HARMLESS:
            for _ in range(min(HARMLESS[word], len(left))):
                left.popleft()
        elif word not in ("ssl", "accept-proxy", "v4v6", "transparent"):
            unknown.append(word)
    return tuple(greeting), unknown


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 address."""
    try:
        return bool(IPv4Address(text))
    except ValueError:
        return False
