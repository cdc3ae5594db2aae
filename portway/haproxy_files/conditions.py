"""Whether a rule applies to a connection: yes, no, or it cannot be told from here.

What is told is decided by addresses and ports. All else, such as what a client sends,
is None.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from portway.haproxy_files.sections import Line, Section

Words = tuple[str, ...]
PREDEFINED: dict[str, Words] = {
    "TRUE": ("always_true",),
    "FALSE": ("always_false",),
    "LOCALHOST": ("src", "127.0.0.1/8"),
    "WAIT_END": ("always_true",),  # in the end it is
}
"""What HAProxy knows without a line ``acl``; others look at what was sent."""
COMPARED: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq,
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What is known of a connection before a byte is sent."""

    source: IPv4Address
    address: IPv4Address | None
    """That it arrived at; None for any that no listener names."""
    port: int


def applies(line: Line, section: Section, connection: Connection) -> bool | None:
    """Whether a rule's ``if`` or ``unless`` lets it apply; True if it has none."""
    words = line.words
    for place, word in enumerate(words):
        if word in ("if", "unless") and place:
            found = _any_of(words[place + 1 :], section, connection)
            return found if word == "if" or found is None else not found
    return True


def without_condition(line: Line) -> Words:
    """The rule itself."""
    for place, word in enumerate(line.words):
        if word in ("if", "unless") and place:
            return line.words[:place]
    return line.words


def networks(section: Section) -> Iterator[IPv4Network]:
    """Every network of sources that a section's conditions name."""
    for line in section.lines:
        for place, word in enumerate(line.words):
            if word == "src":
                for text in line.words[place + 1 :]:
                    if network := _network(text):
                        yield network
    if any("LOCALHOST" in line.words for line in section.lines):
        yield IPv4Network("127.0.0.0/8")


def _any_of(words: Words, section: Section, connection: Connection) -> bool | None:
    groups: list[list[bool | None]] = [[]]
    for is_negated, term in _terms(words):
        if term in (("||",), ("or",)):
            groups.append([])
            continue
        found = (
            _criterion(term[1:-1], connection)
            if term[0] == "{"
            else _named(term[0], section, connection)
        )
        groups[-1].append(found if found is None or not is_negated else not found)
    return _one([_all(group) for group in groups])


def _terms(words: Words) -> Iterator[tuple[bool, Words]]:
    """The names and ``{ … }`` of a condition, each with whether it is negated."""
    left, is_negated = list(words), False
    while left:
        word = left.pop(0)
        if word == "!":
            is_negated = not is_negated
            continue
        if word.startswith("!"):
            is_negated, word = not is_negated, word[1:]
        term = [word]
        if word == "{":
            while left and term[-1] != "}":
                term.append(left.pop(0))
        yield is_negated, tuple(term)
        is_negated = False


def _all(found: list[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True


def _one(found: list[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _named(name: str, section: Section, connection: Connection) -> bool | None:
    own = [line.words[2:] for line in section.lines if line.starts("acl", name)]
    if not own:
        own = [PREDEFINED[name]] if name in PREDEFINED else []
    return _one([_criterion(words, connection) for words in own]) if own else None


def _criterion(words: Words, connection: Connection) -> bool | None:
    what, *values = words or ("",)
    if values[:2] == ["-m", "ip"]:
        values = values[2:]
    if values[:1] == ["--"]:
        values = values[1:]
    if what == "always_true":
        return True
    if what == "always_false":
        return False
    if what in ("dst_port", "fc_dst_port"):
        return _is_port(values, connection.port)
    if what == "src":
        return _is_in(values, connection.source)
    if what == "dst" and connection.address:
        return _is_in(values, connection.address)
    return None


def _is_in(values: list[str], address: IPv4Address) -> bool | None:
    """Whether an address is in one of the networks; names and files cannot be told."""
    found: list[bool | None] = []
    for value in values:
        network = _network(value)
        if network:
            found.append(address in network)
        else:
            found.append(False if _is_v6(value) else None)
    return _one(found)


def _is_port(values: list[str], port: int) -> bool | None:
    how = COMPARED["eq"]
    found = []
    for value in values:
        if value in COMPARED:
            how = COMPARED[value]
            continue
        first, _, last = value.partition(":")
        if not (first.isdigit() and (last or first).isdigit()):
            return None
        found.append(int(first) <= port <= int(last) if last else how(port, int(first)))
    return any(found)


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def _is_v6(text: str) -> bool:
    try:
        return bool(IPv6Network(text, strict=False))
    except ValueError:
        return False
