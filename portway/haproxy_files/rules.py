"""Which lines of a section decide where a connection goes, and which never do."""

from functools import lru_cache

from portway.haproxy_files.lines import Line, Reason
from portway.haproxy_files.pools import is_ordered
from portway.haproxy_files.sections import Section

READ = {
    ("http-request",),
    ("acl",),
    ("balance",),
    ("bind",),
    ("block",),
    ("clitcpka-cnt",),
    ("clitcpka-idle",),
    ("clitcpka-intvl",),
    ("clitimeout",),
    ("contimeout",),
    ("default-server",),
    ("default_backend",),
    ("disabled",),
    ("enabled",),
    ("errorfile",),
    ("hash-type",),
    ("http-check",),
    ("http-reuse",),
    ("maxconn",),
    ("mode",),
    ("option", "allbackups"),
    ("option", "clitcpka"),
    ("option", "forceclose"),
    ("option", "forwardfor"),
    ("option", "http-keep-alive"),
    ("option", "http-server-close"),
    ("option", "httpchk"),
    ("option", "httpclose"),
    ("option", "ldap-check"),
    ("option", "mysql-check"),
    ("option", "pgsql-check"),
    ("option", "redis-check"),
    ("option", "redispatch"),
    ("option", "smtpchk"),
    ("option", "srvtcpka"),
    ("option", "ssl-hello-chk"),
    ("option", "tcp-check"),
    ("option", "tcpka"),
    ("retries",),
    ("server",),
    ("server-template",),
    ("srvtcpka-cnt",),
    ("srvtcpka-idle",),
    ("srvtcpka-intvl",),
    ("srvtimeout",),
    ("stats",),
    ("tcp-check",),
    ("tcp-request", "connection"),
    ("tcp-request", "content"),
    ("tcp-request", "inspect-delay"),
    ("tcp-request", "session"),
    ("timeout",),
    ("use-server",),
    ("use_backend",),
}
"""What is judged elsewhere."""
HARMLESS = {
    ("backlog",),
    ("capture",),
    ("declare",),
    ("description",),
    ("email-alert",),
    ("fullconn",),
    ("grace",),
    ("guid",),
    ("id",),
    ("load-server-state-from-file",),
    ("log",),
    ("log-format",),
    ("log-format-sd",),
    ("log-tag",),
    ("option", "abortonclose"),
    ("option", "contstats"),
    ("option", "dontlog-normal"),
    ("option", "dontlognull"),
    ("option", "httplog"),
    ("option", "log-health-checks"),
    ("option", "log-separate-errors"),
    ("option", "logasap"),
    ("option", "socket-stats"),
    ("option", "splice-auto"),
    ("option", "splice-request"),
    ("option", "splice-response"),
    ("option", "tcp-smart-accept"),
    ("option", "tcp-smart-connect"),
    ("option", "tcplog"),
    ("unique-id-format",),
}
"""What is about logs and names."""
ONLY_HTTP = {
    ("http-after-response",),
    ("http-response",),
}
"""What tcp connections do not notice."""
QUIET = {
    "accept",
    "allow",
    "capture",
    "deny",
    "reject",
    "set-log-level",
    "set-var",
    "set-var-fmt",
    "silent-drop",
    "tarpit",
    "track-sc0",
    "track-sc1",
    "track-sc2",
    "unset-var",
}
"""Actions of rules that are judged, or leave a connection and a request as they are."""
SERVES = ("default_backend", "server", "server-template", "use_backend")
SHOWS = ("enable", "uri")
"""What of ``stats`` says that a section is there for them."""
BESIDES = (
    "compression",
    "cookie",
    "http-after-response",
    "http-response",
    "no",
    "redispatch",
    "reqadd",
    "rspadd",
    "stick",
    "stick-table",
)
"""What no request is answered by."""
UNANSWERED = ("add-", "auth", "del-", "replace-", "set-")
"""How actions begin that leave an answer to the statistics, or protect them."""
ANSWERS = (
    "errorfiles",
    "errorloc",
    "errorloc302",
    "errorloc303",
    "filter",
    "http-error",
    "monitor-net",
    "monitor-uri",
)
"""What may answer a request before a rule refuses it, or in its place."""
KEPT = ("http-keep-alive", "http-server-close", "httpclose", "forceclose")
"""The first is usual."""
FORWARDED = ("http-request", "set-header", "X-Forwarded-For", "%[src]")


@lru_cache(maxsize=1024)
def strange(section: Section, *, http: bool) -> tuple[Line, ...]:
    """The lines that may decide where a connection goes, and are not understood."""
    kinds = READ | HARMLESS if http else READ | HARMLESS | ONLY_HTTP
    found = []
    for line in section.lines:
        words = line.words[1:] if line.words[0] == "no" else line.words
        if is_ordered(section) and words[0] in ("stick-table", "stick"):
            continue
        is_known = words[:1] in kinds or words[:2] in kinds
        if http or words[0] != "http-request":
            is_known = is_known and _is_quiet(words)
        if not is_known and line.words != FORWARDED:
            found.append(line)
    return tuple(found)


@lru_cache(maxsize=1024)
def answering(section: Section, *, http: bool) -> tuple[Reason, ...]:
    """What may answer where a rule refuses: Lua, and for requests some lines."""
    return tuple(
        line.because()
        for line in strange(section, http=http)
        if _action(line.words).startswith("lua.") or (http and line.words[0] in ANSWERS)
    )


def is_statistics(section: Section) -> bool:
    """Whether all that a section does is to show HAProxy's statistics."""
    return (
        section.is_http
        and any(line.starts("stats", word) for line in section.own for word in SHOWS)
        and not any(any(section.starting(word)) for word in SERVES)
        and all(_leaves_answers(line.words) for line in strange(section, http=True))
    )


def _leaves_answers(words: tuple[str, ...]) -> bool:
    """Whether a line that is not understood does not answer requests itself."""
    if words[0] == "http-request":
        its_own = ("use-service", "prometheus-exporter")
        return words[1].startswith(UNANSWERED) or words[1:3] == its_own
    if words[0] == "option":
        return words[1] not in ("http_proxy", "transparent")
    return words[0] in BESIDES


def _is_quiet(words: tuple[str, ...]) -> bool:
    """Whether a line is no rule, or one that does no more than is judged."""
    action = _action(words)
    return not action or action in QUIET


def _action(words: tuple[str, ...]) -> str:
    """What a rule does; empty for what is no rule."""
    place = {"http-request": 1, "tcp-request": 2}.get(words[0])
    if place is None or words[1:2] == ("inspect-delay",) or len(words) <= place:
        return ""
    return words[place].partition("(")[0]


def forwarded_for(section: Section) -> str:
    """How a request of HTTP tells whose it is."""
    if any(line.words == FORWARDED for line in section.lines):
        return "replaced"
    line = section.last("option", "forwardfor")
    if not line or not section.has_option("forwardfor"):
        return ""
    return " ".join(("added", *line.words[2:]))


def kept_open(section: Section, side: str) -> str:
    """How peers that died unseen are found: ``side`` is ``cli`` or ``srv``."""
    if not (section.has_option(f"{side}tcpka") or section.has_option("tcpka")):
        return "none"
    given = [(w, section.value(f"{side}tcpka-{w}")) for w in ("idle", "intvl", "cnt")]
    said = ", ".join(f"{word} {value}" for word, value in given if value)
    return said or "as the system sends them"


def error_pages(frontend: Section, backend: Section) -> dict[str, str]:
    """The file that each status of HTTP is answered with; the backend's go first."""
    lines = (*frontend.starting("errorfile"), *backend.starting("errorfile"))
    return {line.words[1]: line.words[2] for line in lines if len(line.words) > 2}


def kept_alive(section: Section) -> str:
    """What becomes of a connection after a request of HTTP."""
    lines = [section.last("option", name) for name in KEPT]
    on = [line for line in lines if line and section.has_option(line.words[1])]
    last = max(on, key=lambda line: line.number).words[1] if on else KEPT[0]
    reuse = section.value("http-reuse") or "safe"
    return f"{last}, reuse {reuse}"
