"""What becomes of one connection: who serves it, or how it is refused.

Where a rule looks at what the client sends, both ways are followed; if they do not end
in the same, that is said instead of an answer.
"""

from collections.abc import Iterator
from dataclasses import replace

from portway.haproxy_files.conditions import Connection, applies
from portway.haproxy_files.durations import shown_time
from portway.haproxy_files.ends import (
    CLOSED,
    NOBODY,
    STATISTICS,
    Route,
    answered,
    refusals,
)
from portway.haproxy_files.lines import Reason
from portway.haproxy_files.listeners import Listener
from portway.haproxy_files.pools import Pool, pool
from portway.haproxy_files.rules import (
    error_pages,
    forwarded_for,
    is_statistics,
    kept_alive,
    kept_open,
    strange,
)
from portway.haproxy_files.sections import File, Section

RULES = ("block", "http-request", "tcp-request", "use-server", "use_backend")


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
    may_pass = yield from refusals(
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
            through = yield from refusals(frontend, backend, connection, http=http)
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
            refused = answered("503", frontend, backend) if http else CLOSED
            yield Route(refused=refused, behaviour=pages)
            continue
        yield Route(
            serving=used.serving,
            http=http,
            standby=used.standby,
            behaviour=(*_of_both(frontend, backend, http), *used.behaviour),
            unknown=unknown,
        )


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
