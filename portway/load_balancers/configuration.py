"""A HAProxy configuration as values: its sections and, apart from them, its servers.

Pure. Configurations that differ in servers only have the same sections; anything else
needs a reload, and ``reload_reason`` says what it is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from portway.contract.reloads import Kind, Reason
from portway.errors import first_of
from portway.model.cluster import STATS_FRONTEND

Lines = tuple[str, ...]
ORDERED = "balance first"
"""What only the backends of ``ordered`` clients have."""


@dataclass(frozen=True, slots=True)
class ServerLine:
    """A server of a backend, as the configuration describes it."""

    backend: str
    name: str
    address: str
    port: int
    """0 for the port that the connection came in on."""
    options: str = ""
    """Everything else, with what ``default-server`` gives to all of them: the runtime
    API ignores that, so whoever adds a server there repeats it."""

    @property
    def path(self) -> str:
        """Its name in HAProxy's commands."""
        return f"{self.backend}/{self.name}"

    @property
    def place(self) -> str:
        """Its address and port in HAProxy's commands."""
        return f"{self.address}:{self.port}" if self.port else self.address

    @property
    def part(self) -> str:
        """What it is in its backend: its options but for the id, which is its own."""
        return re.sub(r"(^| )id [0-9]+", "", self.options)

    @property
    def is_checked(self) -> bool:
        """Whether HAProxy looks if it is healthy."""
        return "check" in self.options.split()

    @property
    def weight(self) -> int:
        """Its share of the connections."""
        words = self.options.split()
        return int(words[words.index("weight") + 1]) if "weight" in words else 1


_PLACE = re.compile(r"([0-9.]*|\*|\[[0-9a-fA-F:.]*\]):([0-9]+)")
"""An address, or none, and one port."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration's sections without servers, and its servers."""

    sections: Mapping[str, Lines] = field(default_factory=dict)
    """The lines below each heading, such as ``frontend one``."""
    servers: tuple[ServerLine, ...] = ()

    def of(self, backend: str) -> tuple[ServerLine, ...]:
        """The servers of one backend, in order."""
        return tuple(server for server in self.servers if server.backend == backend)

    def is_ordered(self, backend: str) -> bool:
        """Whether the clients of a backend may use one server at a time only."""
        return ORDERED in self.sections.get(f"backend {backend}", ())

    def named(self, kind: str) -> frozenset[str]:
        """The names of all sections of a kind."""
        words = (heading.split() for heading in self.sections)
        return frozenset(name[1] for name in words if name[0] == kind and len(name) > 1)


def binds(configuration: Configuration) -> frozenset[tuple[str, int]]:
    """Where it listens: addresses, empty for all, and ports.

    Sockets, ranges and what else somebody's own template may have is left out.
    """
    places = (
        _PLACE.fullmatch(place)
        for lines in configuration.sections.values()
        for line in lines
        if line.startswith("bind ")
        for place in line.split()[1].split(",")
    )
    return frozenset((place[1], int(place[2])) for place in places if place)


def parse(text: str) -> Configuration:
    """The configuration in a text. Comments, indentation and order do not count.

    Sections begin at the first column, as in the template; nothing else does.
    """
    sections: dict[str, list[str]] = {}
    servers: list[ServerLine] = []
    heading, usual, everywhere = "", "", ""
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        if not line[0].isspace():
            everywhere = usual if heading == "defaults" else everywhere
            heading, usual = line, everywhere if word == "backend" else ""
            sections[heading] = []
        elif word == "server":
            servers.append(_server(heading.partition(" ")[2], rest, usual))
        else:
            usual = f"{usual} {rest}" if word == "default-server" else usual
            sections[heading].append(line.strip())
    return Configuration(
        {name: tuple(lines) for name, lines in sections.items()}, tuple(servers)
    )


def _server(backend: str, words: str, usual: str) -> ServerLine:
    name, _, rest = words.partition(" ")
    place, _, own = rest.partition(" ")
    address, _, port = place.partition(":")
    options = " ".join(f"{usual} {own}".split())
    return ServerLine(backend, name, address, int(port or 0), options)


def reload_reason(running: Configuration, wanted: Configuration) -> Reason | None:
    """What differs apart from the servers; None if nothing does."""
    if running.sections == wanted.sections:
        return None
    clients = tuple(_clients(running, wanted))
    settings = tuple(_settings(running, wanted))
    kind = Kind.CLIENTS if clients else Kind.SETTINGS
    return Reason(kind, ", ".join(clients + settings) or "backends changed")


def _clients(running: Configuration, wanted: Configuration) -> Iterator[str]:
    """How many clients were added, removed and changed."""
    old, new = (c.named("frontend") - {STATS_FRONTEND} for c in (running, wanted))
    changed = {
        name
        for name in old & new
        if running.sections[f"frontend {name}"] != wanted.sections[f"frontend {name}"]
    }
    for what, names in (
        ("added", new - old),
        ("removed", old - new),
        ("changed", changed),
    ):
        if names:
            yield f"{len(names)} client{'s' * (len(names) > 1)} {what}"


def _settings(running: Configuration, wanted: Configuration) -> Iterator[str]:
    """Which keywords differ in the sections that are no clients.

    Backends that come and go do so with the clients that use them.
    """
    differing: dict[str, set[str]] = {}
    for heading in running.sections.keys() & wanted.sections.keys():
        old, new = running.sections[heading], wanted.sections[heading]
        kind, _, name = heading.partition(" ")
        if old == new or (kind == "frontend" and name != STATS_FRONTEND):
            continue
        keywords = {_keyword(line) for line in set(old) ^ set(new)} or {"order"}
        differing.setdefault(kind, set()).update(keywords)
    for kind, keywords in sorted(differing.items()):
        yield f"{kind} changed ({first_of(keywords)})"


def _keyword(line: str) -> str:
    words = line.split()
    composed = (
        "timeout",
        "option",
        "http-request",
        "http-check",
        "stats",
        "tcp-request",
    )
    return " ".join(words[:2] if words[0] in composed else words[:1])
