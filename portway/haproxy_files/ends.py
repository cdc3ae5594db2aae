"""What may become of a connection, and the rules that refuse one."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

from portway.haproxy_files.conditions import Connection, applies, without_condition
from portway.haproxy_files.lines import Line, Reason
from portway.haproxy_files.pools import Server
from portway.haproxy_files.rules import answering, error_pages
from portway.haproxy_files.sections import Section

CLOSED, NOBODY, ANSWERED = "closed", "nobody listens", "answered with"
STATISTICS = "the statistics page"
ENDS = {
    "reject": CLOSED,
    "silent-drop": "dropped without an answer",
}
"""How rules refuse a connection."""
STATUSES = {"deny": "403", "tarpit": "500"}
"""What rules for requests answer with, if they do not say."""
PHASES = (
    ("tcp-request", "connection"),
    ("tcp-request", "session"),
    ("tcp-request", "content"),
)


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


def refusals(
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
        return Route(refused=answered(status, frontend, section), unknown=others)
    if action in ("auth", "redirect", "return", "use-service", "expect-proxy"):
        return Route(unknown=(line.because(),))
    return None


def answered(status: str, frontend: Section, backend: Section) -> str:
    """How clients of HTTP are told that they are refused, and with which page."""
    page = error_pages(frontend, backend).get(status)
    return f"{ANSWERED} {status}" + (f" from {page}" if page else "")
