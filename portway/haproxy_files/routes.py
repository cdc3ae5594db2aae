"""What becomes of one connection: who serves it, or how it is refused.

Where a rule looks at what the client sends, both ways are followed; if they do not end
in the same, that is said instead of an answer.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from portway.haproxy_files.conditions import Connection, applies, without_condition
from portway.haproxy_files.durations import shown_time
from portway.haproxy_files.lines import Line, Reason
from portway.haproxy_files.listeners import Listener
from portway.haproxy_files.pools import Pool, Server, pool
from portway.haproxy_files.rules import (
    answering,
    error_pages,
    forwarded_for,
    is_statistics,
    kept_alive,
    kept_open,
    strange,
)
from portway.haproxy_files.sections import File, Section

CLOSED, NOBODY, ANSWERED = "closed", "nobody listens", "answered with"
STATISTICS = "the statistics page"
ENDS = {
    "reject": CLOSED,
    "silent-drop": "dropped without an answer",
}
"""How rules refuse a connection."""
STATUSES = {"deny": "403", "tarpit": "500"}
"""What rules for requests answer with, if they do not say."""
RULES = ("block", "http-request", "tcp-request", "use-server", "use_backend")


@dataclass(frozen=True, slots=True)
class Route:
    """What becomes of a connection."""

    refused: str = ""
    """How, if it is."""
    serving: frozenset[Server] = frozenset()
    http: bool = False
    tls: tuple[str, ...] = ()
    """How clients are greeted, if with TLS."""
    expects_proxy: bool = False
    standby: tuple[Server, ...] = ()
    behaviour: tuple[tuple[str, str], ...] = ()
    unknown: tuple[Reason, ...] = ()
    """Why it cannot be told; then all else counts for nothing."""

    @property
    def seen(self) -> "Route":
        """What clients notice while all is well and quiet."""
        return replace(self, standby=(), behaviour=(), unknown=())

    def __str__(self) -> str:
        names = ", ".join(map(str, sorted(self.serving)))
        mode = "http" if self.http else "tcp"
        to = f"{mode} to {names}" if names else "cannot be told"
        more = ", TLS from clients" * bool(self.tls)
        more += f" ({', '.join(self.tls[1:])})" * bool(self.tls[1:])
        more += ", PROXY protocol from clients" * self.expects_proxy
        return f"{self.refused or to}{more}"

    @property
    def is_answer(self) -> bool:
        """Whether clients are told that they are refused, in HTTP."""
        return self.refused.startswith(ANSWERED)


def route(file: File, at: tuple[Listener, ...], connection: Connection) -> Route:
    """What becomes of a connection at the listeners that it arrives at."""
    if not at:
        return Route(refused=NOBODY)
    if len(at) > 1:
        names = " and ".join(listener.section.title for listener in at)
        return Route(unknown=(Reason(f"{names} listen on the same"),))
    (listener,) = at
    found = list(dict.fromkeys(_routes(file, listener, connection)))
    unknown = [reason for end in found for reason in end.unknown]
    if any(end.is_answer for end in found):
        unknown += listener.unknown
    ways = {replace(end, unknown=()) for end in found}
    if len(ways) > 1:
        unknown += _undecided(file, listener, connection)
        unknown = unknown or [Reason("it depends on what the client sends")]
    end = replace(found[0], unknown=tuple(dict.fromkeys(unknown)))
    if end.refused and not end.is_answer:
        return end
    return replace(end, tls=listener.tls, expects_proxy=listener.expects_proxy)


def _routes(file: File, listener: Listener, connection: Connection) -> Iterator[Route]:
    """Every way that a connection may go: one, if all can be told."""
    frontend = listener.section
    statistics = is_statistics(frontend)
    may_pass = yield from _refusals(
        frontend, frontend, connection, http=frontend.is_http and not statistics
    )
    if not may_pass:
        return
    if statistics:
        yield Route(refused=STATISTICS)
        return
    for backend in _backends(file, frontend, connection):
        if isinstance(backend, Reason):
            yield Route(unknown=(backend,))
            continue
        http = frontend.is_http or backend.is_http
        through = True
        if backend is not frontend:
            through = yield from _refusals(frontend, backend, connection, http=http)
        if through:
            yield from _served(frontend, backend, connection, listener.unknown)


def _served(
    frontend: Section,
    backend: Section,
    connection: Connection,
    more: tuple[Reason, ...],
) -> Iterator[Route]:
    http = frontend.is_http or backend.is_http
    odd = (*strange(frontend, http=http), *strange(backend, http=http))
    more = (*more, *(line.because() for line in odd))
    if backend.is_disabled:
        more = (*more, Reason(f"{backend.title} is disabled"))
    servers = pool(backend, connection.port)
    for used in _used(backend, connection, servers):
        unknown = (*more, *used.unknown)
        if not used.serving:
            if unknown:
                yield Route(unknown=unknown)
                continue
            pages = _statistics(frontend, backend) if http else ()
            refused = _answered("503", frontend, backend) if http else CLOSED
            yield Route(refused=refused, behaviour=pages)
            continue
        yield Route(
            serving=used.serving,
            http=http,
            standby=used.standby,
            behaviour=(*_of_both(frontend, backend, http), *used.behaviour),
            unknown=unknown,
        )


PHASES = (
    ("tcp-request", "connection"),
    ("tcp-request", "session"),
    ("tcp-request", "content"),
)


def _refusals(
    frontend: Section, section: Section, connection: Connection, *, http: bool
) -> Generator[Route, None, bool]:
    """How a section may refuse a connection; returns whether it may also let it in."""
    phases = [list(section.starting(*phase)) for phase in PHASES]
    if http:
        requests = (*section.starting("http-request"), *section.starting("block"))
        phases.append(sorted(requests, key=lambda line: line.number))
    for lines in phases:
        passes = yield from _phase(lines, frontend, section, connection)
        if not passes:
            return False
    return True


def _phase(
    lines: Iterable[Line], frontend: Section, section: Section, connection: Connection
) -> Generator[Route, None, bool]:
    """The same for rules of one kind, the first of which that applies decides."""
    accepted = False
    for line in lines:
        action = "deny" if line.starts("block") else line.words[1]
        action = line.words[2] if line.starts("tcp-request") else action
        end = _end(action, line, frontend, section)
        if action not in ("accept", "allow") and not end:
            continue
        truth = applies(line, section, connection)
        if truth is False:
            continue
        if end:
            yield end
        else:
            accepted = True
        if truth:
            return accepted
    return True


def _end(action: str, line: Line, frontend: Section, section: Section) -> Route | None:
    """How a rule ends a connection; None if it does not."""
    http = not line.starts("tcp-request")
    both = (*answering(frontend, http=http), *answering(section, http=http))
    others = tuple(dict.fromkeys(both))
    if action in ENDS:
        return Route(refused=ENDS[action], unknown=others)
    if action in STATUSES:
        more = without_condition(line)[1 if line.starts("block") else 2 :]
        if more and not (more[0] == "deny_status" and len(more) == 2):
            return Route(unknown=(line.because("what it answers"),))
        status = more[1] if more else STATUSES[action]
        return Route(refused=_answered(status, frontend, section), unknown=others)
    if action in ("auth", "redirect", "return", "use-service", "expect-proxy"):
        return Route(unknown=(line.because(),))
    return None


def _answered(status: str, frontend: Section, backend: Section) -> str:
    page = error_pages(frontend, backend).get(status)
    return f"{ANSWERED} {status}" + (f" from {page}" if page else "")


def _backends(
    file: File, frontend: Section, connection: Connection
) -> Iterator[Section | Reason]:
    """The sections that may serve; a reason where it cannot be told which."""
    for line in frontend.starting("use_backend"):
        truth = applies(line, frontend, connection)
        if truth is False:
            continue
        name = line.words[1]
        yield file.backend(name) or line.because("which backend it is")
        if truth:
            return
    name = frontend.value("default_backend")
    if name:
        yield file.backend(name) or Reason(f"no backend {name}")
    else:
        yield frontend


def _used(backend: Section, connection: Connection, servers: Pool) -> Iterator[Pool]:
    """The servers that may be used, as ``use-server`` narrows them.

    HAProxy passes over a rule whose server is disabled.
    """
    names = dict(servers.names)
    for line in backend.starting("use-server"):
        truth = applies(line, backend, connection)
        name = line.words[1]
        server = names.get(name)
        if truth is False or (name in names and server is None):
            continue
        if server:
            yield replace(servers, serving=frozenset({server}))
        else:
            yield replace(servers, unknown=(*servers.unknown, line.because("where")))
        if truth:
            return
    yield servers


def _undecided(
    file: File, listener: Listener, connection: Connection
) -> Iterator[Reason]:
    """The rules of a listener that look at more than addresses and ports."""
    for section in reachable(file, listener.section):
        for line in section.lines:
            if line.words[0] in RULES and applies(line, section, connection) is None:
                yield line.because()


def reachable(file: File, frontend: Section) -> Iterator[Section]:
    """A section that listens, and all that its connections may get to."""
    yield frontend
    for line in (
        *frontend.starting("use_backend"),
        *frontend.starting("default_backend"),
    ):
        if found := file.backend(line.words[1]):
            yield found


def _of_both(
    frontend: Section, backend: Section, http: bool
) -> Iterator[tuple[str, str]]:
    """How long a connection may be silent, and what one of HTTP is given."""
    client = shown_time(frontend, "client", "clitimeout")
    server = shown_time(backend, "server", "srvtimeout")
    tunnel = shown_time(backend, "tunnel", "")
    if not http and tunnel != "none":  # it replaces both once bytes may flow
        client = server = tunnel
    yield "timeout client", client
    yield "timeout server", server
    if http and tunnel != "none":
        yield "timeout tunnel", tunnel
    yield "keepalives to clients", kept_open(frontend, "cli")
    yield "keepalives to servers", kept_open(backend, "srv")
    if limit := frontend.value("maxconn"):
        yield "most connections", limit
    if http:
        yield from _statistics(frontend, backend)
        yield "connections of HTTP", kept_alive(backend)
        header = forwarded_for(backend) or forwarded_for(frontend)
        yield "X-Forwarded-For", header or "as the client sent it"
        pages = error_pages(frontend, backend)
        if pages:
            yield "error pages", ", ".join(sorted(map(" ".join, pages.items())))


def _statistics(frontend: Section, backend: Section) -> tuple[tuple[str, str], ...]:
    """Where among its requests HTTP has HAProxy's statistics, if anywhere."""
    if not any((*frontend.starting("stats"), *backend.starting("stats"))):
        return ()
    place = backend.value("stats", "uri") or frontend.value("stats", "uri")
    return (("statistics at", place or "/haproxy?stats"),)
