"""Two HAProxy files compared port by port, by what becomes of connections.

Sources are compared range by range: the networks that either file names cut the
addresses into ranges, and within one all sources are treated alike.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, summarize_address_range

from portway.haproxy_files.conditions import Connection, networks
from portway.haproxy_files.ends import NOBODY, Route
from portway.haproxy_files.lines import Reason
from portway.haproxy_files.listeners import Listening, is_address, listening
from portway.haproxy_files.routes import reachable, route
from portway.haproxy_files.rules import is_statistics
from portway.haproxy_files.sections import PROCESS, File

LAST = int(IPv4Address("255.255.255.255"))
Arrival = IPv4Address | None
"""The address that connections arrive at; None for any that no file names."""
Spans = tuple[tuple[int, int], ...]
"""Ranges of addresses, as numbers, in order."""
EVERYBODY: Spans = ((0, LAST),)


class Verdict(StrEnum):
    """What is said of a port."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_JUDGED = "not judged"
    STATISTICS = "statistics"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same, and for which connections."""

    what: str
    old: str
    new: str
    routes: bool
    """Whether clients notice at once: another server, or none."""
    sources: Spans = EVERYBODY
    addresses: tuple[Arrival, ...] = ()
    """Those that connections arrive at; empty for all."""

    def concerns(self, source: IPv4Address, address: Arrival) -> bool:
        """Whether it is so for connections from one address to another."""
        there = not self.addresses or address in self.addresses
        return there and any(a <= int(source) <= b for a, b in self.sources)


@dataclass(frozen=True, slots=True)
class PortReport:
    """What was found out about one port."""

    port: int
    verdict: Verdict
    old: str
    new: str
    differences: tuple[Difference, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found out about two files."""

    ports: tuple[PortReport, ...]
    unread: tuple[str, ...]
    """What neither file's ports could be judged by."""
    process: tuple[Difference, ...] = ()
    """What the sections ``global`` do not have in common, for all ports."""

    def count(self, verdict: Verdict) -> int:
        return sum(report.verdict is verdict for report in self.ports)


@dataclass(frozen=True, slots=True)
class _Side:
    file: File
    listening: Listening

    def route(self, address: Arrival, port: int, source: IPv4Address) -> Route:
        at = self.listening.at(address, port)
        return route(self.file, at, Connection(source, address, port))


@dataclass(frozen=True, slots=True)
class _Case:
    """The same connections to both sides."""

    address: Arrival
    first: int
    last: int
    old: Route
    new: Route


def compare(
    old: File,
    new: File,
    *,
    arriving_at: IPv4Address | None = None,
    routes_only: bool = False,
) -> Comparison:
    """Compare two files.

    ``arriving_at`` leaves out what other addresses get, and ``routes_only`` what is
    not noticed while all is well: timeouts, balance, checks, who is on standby.
    """
    sides = _Side(old, listening(old)), _Side(new, listening(new))
    ports = sorted({port for side in sides for port in side.listening.ports})
    reports = [_port(*sides, port, arriving_at, routes_only) for port in ports]
    unread = [*old.unread, *new.unread]
    unread += [*sides[0].listening.unread, *sides[1].listening.unread]
    process = () if routes_only else tuple(_of_process(*sides))
    return Comparison(tuple(filter(None, reports)), tuple(unread), process)


def _of_process(old: _Side, new: _Side) -> Iterator[Difference]:
    """How the sections ``global`` differ, in what clients notice of them."""
    listeners = [
        found
        for side in (old, new)
        for at in side.listening.ports.values()
        for found in at
    ]
    for word in PROCESS if any(found.tls for found in listeners) else PROCESS[:1]:
        lines = [side.file.process.last(word) for side in (old, new)]
        said = [" ".join(line.words[1:]) if line else "none" for line in lines]
        if said[0] != said[1]:
            yield Difference(f"{word} of global", said[0], said[1], routes=False)


def _port(
    old: _Side, new: _Side, port: int, arriving_at: Arrival, routes_only: bool
) -> PortReport | None:
    addresses: set[Arrival] = {arriving_at}
    if arriving_at is None:
        addresses = old.listening.addresses(port) | new.listening.addresses(port)
        addresses.add(None)
    cases = [case for a in _ordered(addresses) for case in _cases(old, new, port, a)]
    if routes_only:
        cases = [replace(c, old=_bare(c.old), new=_bare(c.new)) for c in cases]
    if all(not case.old.unknown and case.old == case.new for case in cases):
        verdict = Verdict.SAME
    elif any(case.old.unknown or case.new.unknown for case in cases):
        verdict = Verdict.NOT_JUDGED
    else:
        verdict = Verdict.DIFFERS
    if verdict is not Verdict.SAME and _statistics_only(old, new, port):
        verdict = Verdict.STATISTICS
    elif arriving_at and all(_nobody(case) for case in cases):
        return None
    sides = [(str(c.old), str(c.new)) for c in cases if not _nobody(c)]
    unknown = [why.of(old.file.source) for case in cases for why in case.old.unknown]
    unknown += [why.of(new.file.source) for case in cases for why in case.new.unknown]
    return PortReport(
        port,
        verdict,
        "; ".join(dict.fromkeys(old for old, _ in sides)),
        "; ".join(dict.fromkeys(new for _, new in sides)),
        tuple(_differences(cases)),
        tuple(dict.fromkeys(unknown)),
    )


def _nobody(case: _Case) -> bool:
    return case.old == case.new == Route(refused=NOBODY)


def _bare(found: Route) -> Route:
    return replace(found.seen, unknown=found.unknown)


def _statistics_only(old: _Side, new: _Side, port: int) -> bool:
    """Whether neither side has more at a port than HAProxy's statistics."""
    both = (old.listening.ports.get(port, ()), new.listening.ports.get(port, ()))
    return all(is_statistics(found.section) for side in both for found in side)


def _ordered(addresses: Iterable[Arrival]) -> list[Arrival]:
    return sorted(addresses, key=lambda address: (address is not None, address or 0))


def _cases(old: _Side, new: _Side, port: int, address: Arrival) -> Iterator[_Case]:
    starts = {0}
    for side in (old, new):
        for listener in side.listening.at(address, port):
            for section in reachable(side.file, listener.section):
                for network in networks(section):
                    starts.add(int(network.network_address))
                    starts.add(int(network.broadcast_address) + 1)
    firsts = sorted(start for start in starts if start <= LAST)
    for first, following in zip(firsts, [*firsts[1:], LAST + 1], strict=True):
        source = IPv4Address(first)
        before, after = (side.route(address, port, source) for side in (old, new))
        names = _names(before) ^ _names(after)
        yield _Case(
            address,
            first,
            following - 1,
            *(_with_unknown(found, names) for found in (before, after)),
        )


def _names(found: Route) -> set[str]:
    """The servers that are called by names, which only DNS knows the addresses of."""
    servers = (*found.serving, *found.standby)
    return {s.address for s in servers if not is_address(s.address)}


def _with_unknown(found: Route, names: set[str]) -> Route:
    reasons = tuple(
        Reason(f"server {name}: which address that is")
        for name in sorted(_names(found) & names)
    )
    return replace(found, unknown=(*found.unknown, *reasons))


def _differences(cases: list[_Case]) -> Iterator[Difference]:
    """What differs, each with all the connections for which it does."""
    found: dict[Difference, dict[Arrival, list[_Case]]] = {}
    for case in cases:
        if case.old.unknown or case.new.unknown:
            continue
        for difference in _between(case.old, case.new):
            where = found.setdefault(difference, {})
            where.setdefault(case.address, []).append(case)
    everywhere = {case.address for case in cases}
    for difference, where in found.items():
        alike: dict[Spans, list[Arrival]] = {}
        for address, those in where.items():
            alike.setdefault(_spans(those), []).append(address)
        for spans, addresses in alike.items():
            named = () if set(addresses) == everywhere else tuple(addresses)
            yield replace(difference, sources=spans, addresses=named)


def _between(old: Route, new: Route) -> Iterator[Difference]:
    if old.seen != new.seen:
        yield Difference("route", str(old), str(new), routes=True)
    if bool(old.refused) != bool(new.refused):
        return
    if old.standby != new.standby:
        names = [", ".join(map(str, side.standby)) or "none" for side in (old, new)]
        yield Difference("standby", names[0], names[1], routes=False)
    before, after = dict(old.behaviour), dict(new.behaviour)
    for key in dict.fromkeys((*before, *after)):
        pair = before.get(key, "none"), after.get(key, "none")
        if pair[0] != pair[1]:
            yield Difference(key, *pair, routes=False)


def _spans(cases: list[_Case]) -> Spans:
    """The sources of some cases, those that meet as one."""
    spans: list[tuple[int, int]] = []
    for first, last in sorted((case.first, case.last) for case in cases):
        if spans and first <= spans[-1][1] + 1:
            first = spans.pop()[0]  # noqa: PLW2901 - it goes on
        spans.append((first, last))
    return tuple(spans)


def networks_of(spans: Spans) -> str:
    """Sources as people write them: networks, or all but some; empty for all."""
    if spans == EVERYBODY:
        return ""
    edges = [0, *(n for first, last in spans for n in (first, last + 1)), LAST + 1]
    others = [
        (first, following - 1)
        for first, following in zip(edges[::2], edges[1::2], strict=True)
        if first < following
    ]
    inside, outside = list(_networks(spans)), list(_networks(others))
    if len(outside) < len(inside):
        return f"all but {', '.join(outside)}"
    return ", ".join(inside)


def _networks(spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    for first, last in spans:
        span = summarize_address_range(IPv4Address(first), IPv4Address(last))
        yield from map(str, span)
