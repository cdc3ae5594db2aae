"""The servers of a section, as one of its connections meets them while all are well."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from portway.haproxy_files.checks import health_check
from portway.haproxy_files.durations import number, shown_time
from portway.haproxy_files.lines import Reason
from portway.haproxy_files.sections import Section

Words = tuple[str, ...]
COMPARED = {
    "backup": 0,
    "check": 0,
    "disabled": 0,
    "downinter": 1,
    "enabled": 0,
    "fall": 1,
    "fastinter": 1,
    "id": 1,
    "init-addr": 1,
    "inter": 1,
    "maxconn": 1,
    "no-check": 0,
    "no-ssl": 0,
    "no-verify": 0,
    "on-marked-down": 1,
    "on-marked-up": 1,
    "port": 1,
    "rise": 1,
    "send-proxy": 0,
    "send-proxy-v2": 0,
    "slowstart": 1,
    "ssl": 0,
    "verify": 1,
    "weight": 1,
}
"""Words of a server that are judged, or do not matter while all are well, and how many
words follow each."""
KEPT = "client=%f source="
"""How the lines begin that Portway has HAProxy log."""


@dataclass(frozen=True, slots=True, order=True)
class Server:
    """Where a connection goes, and what it is sent first."""

    address: str
    port: int
    proxy: str = ""
    """``v1`` or ``v2`` of the PROXY protocol."""
    tls: bool = False

    def __str__(self) -> str:
        more = f" with PROXY protocol {self.proxy}" * bool(self.proxy)
        return f"{self.address}:{self.port}{more}{' over TLS' * self.tls}"


@dataclass(frozen=True, slots=True)
class Pool:
    """Who serves, and how they are chosen, for connections to one port."""

    serving: frozenset[Server]
    standby: tuple[Server, ...]
    """In the order in which they take over."""
    behaviour: tuple[tuple[str, str], ...]
    """What is not seen while all is well and quiet: timeouts, balance, checks."""
    names: tuple[tuple[str, Server | None], ...]
    """Those that ``use-server`` may choose, by name; None for one that is disabled."""
    unknown: tuple[Reason, ...]
    """What cannot be judged."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    server: Server
    is_standby: bool
    is_used: bool
    weight: int
    options: dict[str, str]


@lru_cache(maxsize=1024)
def pool(section: Section, port: int) -> Pool:
    """A section's servers, for connections that came in on a port."""
    entries, unknown = _entries(section, port)
    used = [entry for entry in entries if entry.is_used]
    serving = [entry for entry in used if not entry.is_standby]
    standby = [entry for entry in used if entry.is_standby]
    if section.value("balance") == "first":  # the others only once it is full
        serving, standby = serving[:1], [*serving[1:], *standby]
        odd = {"id", "maxconn"} & {word for entry in used for word in entry.options}
        unknown += [Reason(f"balance first with {word}") for word in sorted(odd)]
    if not serving:
        count = len(standby) if section.has_option("allbackups") else 1
        serving, standby = standby[:count], standby[count:]
    return Pool(
        serving=frozenset(entry.server for entry in serving),
        standby=tuple(entry.server for entry in standby),
        behaviour=tuple(_behaviour(section, used, serving, standby)),
        names=tuple(
            (entry.name, None if "disabled" in entry.options else entry.server)
            for entry in entries
        ),
        unknown=tuple(unknown),
    )


def is_ordered(section: Section) -> bool:
    """Whether it is Portway's for clients whose messages stay in order."""
    return (
        section.value("balance") == "first"
        and section.value("stick", "on") == "var(txn.key)"
    )


def is_kept(section: Section) -> bool:
    """Whether Portway wrote it, whose stream keeper ends streams to failed nodes."""
    lines = section.starting("log-format")
    return any(word.startswith(KEPT) for line in lines for word in line.words[1:2])


def _entries(section: Section, port: int) -> tuple[list[_Entry], list[Reason]]:
    usual: Words = ()
    entries: list[_Entry] = []
    unknown: list[Reason] = []
    for line in section.lines:
        if line.starts("default-server"):
            usual = (*usual, *line.words[1:])
        elif line.starts("server"):
            options, left = _options((*usual, *line.words[3:]))
            name, place = line.words[1:3]
            server = _server(place, port, options)
            weight = number(options.get("weight", "1"))
            if left:
                unknown.append(Reason(f"server {name}: {left[0]}", line.number))
            if server is None:
                unknown.append(Reason(f"server {name} at {place}", line.number))
            elif weight is None:
                unknown.append(Reason(f"server {name}: weight", line.number))
            else:
                used = "disabled" not in options and weight > 0
                standby = "backup" in options
                entries.append(_Entry(name, server, standby, used, weight, options))
        elif line.starts("server-template"):
            unknown.append(line.because())
    return entries, unknown


def _server(place: str, port: int, options: dict[str, str]) -> Server | None:
    """Where a server is, for connections to a port; None for no address and port."""
    match = re.fullmatch(r"([^:@/]+)(?::(?:([+-]?)([0-9]{1,5}))?)?", place)
    if not match:
        return None
    address, sign, given = match[1], match[2], int(match[3] or 0)
    if sign:
        given = port + given if sign == "+" else port - given
    elif not given:
        given = port
    if not 0 < given < 65_536:
        return None
    proxy = "v2" if "send-proxy-v2" in options else ""
    proxy = proxy or ("v1" if "send-proxy" in options else "")
    return Server(address, given, proxy, "ssl" in options)


def _options(words: Words) -> tuple[dict[str, str], list[str]]:
    """What is said of a server, the last word of each kind, and what is unknown."""
    found: dict[str, str] = {}
    unknown, left = [], list(words)
    while left:
        word = left.pop(0)
        if word not in COMPARED:
            unknown.append(word)
            continue
        values, left = left[: COMPARED[word]], left[COMPARED[word] :]
        off = {"no-check": "check", "no-ssl": "ssl", "enabled": "disabled"}.get(word)
        if off:
            found.pop(off, None)
        else:
            found[word] = " ".join(values)
    return found, unknown


def _behaviour(
    section: Section,
    used: list[_Entry],
    serving: list[_Entry],
    standby: list[_Entry],
) -> Iterator[tuple[str, str]]:
    yield "timeout connect", shown_time(section, "connect", "contimeout")
    if len(used) > 1:
        yield "balance", _balance(section, serving)
        tries = section.value("retries") or "3"
        again = section.has_option("redispatch")
        yield (
            "a server that does not accept",
            f"{tries} more tries, {'then another server' if again else 'all with it'}",
        )
    weights = [entry.weight for entry in serving]
    if len(set(weights)) > 1:
        parts = sorted((str(e.server), e.weight) for e in serving)
        yield "weights", ", ".join(f"{name} {weight}" for name, weight in parts)
    limits = sorted({e.options["maxconn"] for e in used if "maxconn" in e.options})
    if limits:
        yield "connections of a server", ", ".join(limits)
    checks = sorted({health_check(section, e.options) for e in used})
    yield "health check", " or ".join(checks)
    marked = {e.options.get("on-marked-down", "") for e in used}
    cuts = marked == {"shutdown-sessions"} or is_kept(section)
    yield "streams of a server that fails", "closed" if cuts else "left open"
    if standby:
        back = {e.options.get("on-marked-up", "") for e in serving}
        closes = back == {"shutdown-backup-sessions"}
        yield (
            "streams of standby servers once another is well",
            ("closed" if closes else "left open"),
        )


def _balance(section: Section, serving: list[_Entry]) -> str:
    if is_ordered(section):
        return "one at a time, which is kept until it fails"
    if len(serving) == 1:
        return "one at a time, the first that is well"
    line = section.last("balance")
    words = list(line.words[1:]) if line else ["roundrobin"]
    hashing = section.last("hash-type")
    if hashing and words[0] not in ("roundrobin", "leastconn", "static-rr", "first"):
        words += hashing.words
    return " ".join(words)
