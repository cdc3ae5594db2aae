"""Whether a rule applies to a connection: yes, no, or it cannot be told from here.

What is told is decided by addresses and ports. All else, such as what a client sends,
is None.
"""

import operator
from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses

from portway.haproxy_files.durations import number
from portway.haproxy_files.lines import Line
from portway.haproxy_files.sections import Section

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
    return _one(
        [
            _all([_is(*term, section, connection) for term in group])
            for group in _groups(words)
        ]
    )


def _is(
    is_negated: bool, term: Words, section: Section, connection: Connection
) -> bool | None:
    if term[0] == "{":
        found = _criterion(term[1:-1], connection)
    else:
        found = _named(term[0], section, connection)
    return found if found is None or not is_negated else not found


@lru_cache(maxsize=4096)
def _groups(words: Words) -> tuple[tuple[tuple[bool, Words], ...], ...]:
    """The terms of a condition, of which all those of one group must be true."""
    groups: list[list[tuple[bool, Words]]] = [[]]
    for is_negated, term in _terms(words):
        if term in (("||",), ("or",)):
            groups.append([])
        else:
            groups[-1].append((is_negated, term))
    return tuple(tuple(group) for group in groups)


def _terms(words: Words) -> Iterator[tuple[bool, Words]]:
    """The names and ``{ … }`` of a condition, each with whether it is negated."""
    left, is_negated = deque(words), False
    while left:
        word = left.popleft()
        if word == "!":
            is_negated = not is_negated
            continue
        if word.startswith("!"):
            is_negated, word = not is_negated, word[1:]
        term = [word]
        if word == "{":
            while left and term[-1] != "}":
                term.append(left.popleft())
        yield is_negated, tuple(term)
        is_negated = False


def _all(found: list[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True


def _one(found: list[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _named(name: str, section: Section, connection: Connection) -> bool | None:
    own = section.acls.get(name, ())
    if not own and name in PREDEFINED:
        own = (PREDEFINED[name],)
    return _one([_criterion(words, connection) for words in own]) if own else None


def _criterion(words: Words, connection: Connection) -> bool | None:
    what, values = (words or ("",))[0], words[1:]
    if values[:2] == ("-m", "ip"):
        values = values[2:]
    if values[:1] == ("--",):
        values = values[1:]
    if what == "always_true":
        return True
    if what == "always_false":
        return False
    if what in ("dst_port", "fc_dst_port"):
        return _is_port(values, connection.port)
    if what == "src":
        return _named_by(values).has(connection.source)
    if what == "dst" and connection.address:
        return _named_by(values).has(connection.address)
    return None


@dataclass(frozen=True, slots=True)
class _Sources:
    """What the values of a condition say of addresses."""

    edges: tuple[int, ...]
    """Where it becomes true, false, true … from the lowest address on."""
    otherwise: bool | None
    """What it is elsewhere: names and files cannot be told."""

    def has(self, address: IPv4Address) -> bool | None:
        return bool(bisect(self.edges, int(address)) % 2) or self.otherwise


@lru_cache(maxsize=4096)
def _named_by(values: Words) -> _Sources:
    found = [(value, _network(value)) for value in values]
    edges: list[int] = []
    for network in collapse_addresses(net for _, net in found if net):
        first, last = int(network.network_address), int(network.broadcast_address)
        if edges and edges[-1] == first:
            edges[-1] = last + 1
        else:
            edges += first, last + 1
    strange = any(not net and not _is_v6(value) for value, net in found)
    return _Sources(tuple(edges), None if strange else False)


def _is_port(values: Words, port: int) -> bool | None:
    how = COMPARED["eq"]
    found = []
    for value in values:
        if value in COMPARED:
            how = COMPARED[value]
            continue
        first, colon, last = value.partition(":")
        least = number(first)
        most = number(last) if colon else least
        if least is None or most is None:
            return None
        found.append(least <= port <= most if colon else how(port, least))
    return any(found)


@lru_cache(maxsize=65_536)
def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def _is_v6(text: str) -> bool:
    try:
        return bool(IPv6Network(text, strict=False))
    except ValueError:
        return False
