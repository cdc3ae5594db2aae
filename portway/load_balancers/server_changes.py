"""What brings a running HAProxy's servers to those of a configuration. Pure.

Three things are compared: the servers that the process has, those of the configuration
that it is known to have loaded, and those that are wanted. The second tells servers
that an interrupted run added, and may not have given traffic yet, from the rest.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from portway.contract.reloads import Kind, Reason
from portway.errors import first_of
from portway.load_balancers.configuration import (
    Configuration,
    ServerLine,
    parse,
    reload_reason,
)

STATIC = ("balance static-rr",)
"""Algorithms whose servers only a reload changes, as HAProxy says."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server of HAProxy's newest worker, from "show servers state", version 1."""

    backend: str
    name: str
    address: str
    port: int
    weight: int
    """As it was configured; people may have changed it since."""
    is_up: bool
    is_drained: bool
    """Whether it gets no new connections because somebody said so."""
    passed: int
    """Good checks in a row, at most as many as it takes to be sure."""
    is_checked: bool

    @property
    def path(self) -> str:
        """Its name in HAProxy's commands."""
        return f"{self.backend}/{self.name}"

    def is_at(self, line: ServerLine) -> bool:
        """Whether it leads where a configuration says."""
        return (self.address, self.port) == (line.address, line.port)


@dataclass(frozen=True, slots=True)
class ServerChange:
    """What the process lacks, and what it has too much."""

    add: tuple[ServerLine, ...] = ()
    move: tuple[ServerLine, ...] = ()
    """Those that get another address."""
    admit: tuple[ServerLine, ...] = ()
    """Those to add, and what an interrupted run has added and not yet given traffic."""
    remove: tuple[RunningServer, ...] = ()
    stay: tuple[ServerLine, ...] = ()
    """Those that an interrupted run has drained to remove them, wanted after all."""

    @property
    def steps(self) -> tuple[str, ...]:
        """What it does, for people, by the names of the nodes."""
        moved = {line.name for line in self.move}
        return tuple(
            f"{first_of(names)} {what}"
            for names, what in (
                ({line.name for line in self.admit}, "added"),
                ({line.name for line in self.stay}, "kept"),
                (moved, "replaced"),
                ({server.name for server in self.remove}, "removed"),
            )
            if names
        )


def how_to_load(
    loaded: str | None,
    wanted: str,
    running: Sequence[RunningServer],
    leaving: Collection[str] = (),
) -> ServerChange | Reason:
    """What brings a process to a configuration, or why only a reload does.

    ``loaded`` is the text that the process is known to have loaded, but for servers.
    ``leaving`` are the paths of those that an interrupted run was removing.
    """
    if loaded is None:
        return Reason(
            Kind.UNKNOWN,
            "what HAProxy runs is not recorded: it was just installed, reloaded by "
            "hand, or deployed by an earlier version",
        )
    old, new = parse(loaded), parse(wanted)
    if reason := reload_reason(old, new):
        return reason
    if {server.backend for server in running} != {line.backend for line in old.servers}:
        text = "HAProxy runs another configuration than the one recorded"
        return Reason(Kind.UNKNOWN, text)
    if found := tuple(_obstacles(old, new, running)):
        return Reason(Kind.SERVERS, "; ".join(found))
    return _server_change(old, new, running, leaving)


def _server_change(
    loaded: Configuration,
    wanted: Configuration,
    running: Sequence[RunningServer],
    leaving: Collection[str],
) -> ServerChange:
    """The change from what runs to what is wanted."""
    found = {server.path: server for server in running}
    paths = {line.path for line in wanted.servers}
    add = tuple(line for line in wanted.servers if line.path not in found)
    move = tuple(
        line
        for line in wanted.servers
        if line.path in found and not found[line.path].is_at(line)
    )
    return ServerChange(
        add,
        move,
        add + _waiting(loaded, wanted, running),
        tuple(server for server in running if server.path not in paths),
        staying(wanted, running, leaving),
    )


def staying(
    wanted: Configuration, running: Sequence[RunningServer], leaving: Collection[str]
) -> tuple[ServerLine, ...]:
    """The servers that an interrupted run has drained, and that are wanted after all.

    Who drained them is known: what people drain stays drained.
    """
    drained = {server.path for server in running if server.is_drained} & set(leaving)
    return tuple(line for line in wanted.servers if line.path in drained)


def waiting(
    loaded: str | None, wanted: Configuration, running: Sequence[RunningServer]
) -> tuple[ServerLine, ...]:
    """The servers that an interrupted run added and has not yet given traffic."""
    return () if loaded is None else _waiting(parse(loaded), wanted, running)


def _waiting(
    loaded: Configuration, wanted: Configuration, running: Sequence[RunningServer]
) -> tuple[ServerLine, ...]:
    before = {(line.path, line.place) for line in loaded.servers}
    found = {server.path: server for server in running if server.is_drained}
    return tuple(
        line
        for line in wanted.servers
        if (line.path, line.place) not in before
        and line.path in found
        and found[line.path].is_at(line)
    )


def _obstacles(
    loaded: Configuration, wanted: Configuration, running: Sequence[RunningServer]
) -> Iterator[str]:
    """Why servers cannot be changed without a reload; nothing if they can."""
    for backend in sorted(wanted.named("backend")):
        old, new = loaded.of(backend), wanted.of(backend)
        if set(old) == set(new) and not _order_matters(old, new):
            continue
        lines = wanted.sections[f"backend {backend}"]
        if static := set(lines) & set(STATIC):
            yield f"{backend} has {static.pop()}, which cannot change while it runs"
        parts = {line.name: line.part for line in old}
        if any(parts.get(line.name, line.part) != line.part for line in new):
            yield f"nodes of {backend} have other options in it than before"
        known = {line.address: line.name for line in old}
        kept = {line.name for line in new}
        for line in new:
            was = known.get(line.address, line.name)
            if was not in kept:
                yield f"{was} is called {line.name} now"
        here = [s.name for s in running if s.backend == backend]
        if _order_matters(old, new) and _order_after(here, new) != [
            line.name for line in new
        ]:
            yield f"the order of the nodes of {backend} changed"


def _order_matters(*groups: Iterable[ServerLine]) -> bool:
    """Whether a backend's servers differ in more than where they are."""
    return any(len({line.part for line in lines}) > 1 for lines in groups)


def _order_after(here: list[str], new: Sequence[ServerLine]) -> list[str]:
    """The order that HAProxy would have them in: it appends those that are added."""
    names = [line.name for line in new]
    return [n for n in here if n in names] + [n for n in names if n not in here]


def server_problems(
    wanted: Configuration, running: Sequence[RunningServer], change: ServerChange
) -> tuple[str, ...]:
    """In what the servers of a process are not those of a configuration."""
    found = {server.path: server for server in running}
    paths = {line.path for line in wanted.servers}
    problems = [f"{path} should not be there" for path in found.keys() - paths]
    admitted = {line.path for line in change.admit + change.move + change.stay}
    for line in wanted.servers:
        server = found.get(line.path)
        if server is None:
            problems.append(f"{line.path} is missing")
            continue
        if not server.is_at(line):
            problems.append(f"{line.path} leads to {server.address}:{server.port}")
        if server.weight != line.weight:
            problems.append(f"{line.path} has the weight {server.weight}")
        if line.path in admitted and server.is_drained:
            problems.append(f"{line.path} gets no traffic")
        if line.path in admitted and line.is_checked and not server.is_checked:
            problems.append(f"{line.path} is not checked")
    return tuple(problems)
