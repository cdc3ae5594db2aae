"""Which lines of a section decide where a connection goes, and which never do."""

from collections.abc import Iterator

from portway.haproxy_files.pools import is_ordered
from portway.haproxy_files.sections import Section

READ = {
    ("http-request",),
    ("acl",),
    ("balance",),
    ("bind",),
    ("block",),
    ("clitimeout",),
    ("contimeout",),
    ("default-server",),
    ("default_backend",),
    ("disabled",),
    ("enabled",),
    ("hash-type",),
    ("http-check",),
    ("http-reuse",),
    ("maxconn",),
    ("mode",),
    ("option", "allbackups"),
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
    ("option", "ssl-hello-chk"),
    ("option", "tcp-check"),
    ("retries",),
    ("server",),
    ("server-template",),
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
    ("clitcpka-cnt",),
    ("clitcpka-idle",),
    ("clitcpka-intvl",),
    ("declare",),
    ("description",),
    ("email-alert",),
    ("errorfile",),
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
    ("option", "clitcpka"),
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
    ("option", "srvtcpka"),
    ("option", "tcp-smart-accept"),
    ("option", "tcp-smart-connect"),
    ("option", "tcpka"),
    ("option", "tcplog"),
    ("srvtcpka-cnt",),
    ("srvtcpka-idle",),
    ("srvtcpka-intvl",),
    ("unique-id-format",),
}
"""What is about logs, names and dead peers."""
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
KEPT = ("http-keep-alive", "http-server-close", "httpclose", "forceclose")
"""The first is usual."""
FORWARDED = ("http-request", "set-header", "X-Forwarded-For", "%[src]")


def strange(section: Section, *, http: bool) -> Iterator[str]:
    """The lines that may decide where a connection goes, and are not understood."""
    kinds = READ | HARMLESS if http else READ | HARMLESS | ONLY_HTTP
    for line in section.lines:
        words = line.words[1:] if line.words[0] == "no" else line.words
        if is_ordered(section) and words[0] in ("stick-table", "stick"):
            continue
        is_known = words[:1] in kinds or words[:2] in kinds
        if http or words[0] != "http-request":
            is_known = is_known and _is_quiet(words)
        if not is_known and line.words != FORWARDED:
            yield line.text


def _is_quiet(words: tuple[str, ...]) -> bool:
    """Whether a line is no rule, or one that does no more than is judged."""
    place = {"http-request": 1, "tcp-request": 2}.get(words[0])
    if place is None or words[1:2] == ("inspect-delay",) or len(words) <= place:
        return True
    return words[place].partition("(")[0] in QUIET


def forwarded_for(section: Section) -> str:
    """How a request of HTTP tells whose it is."""
    if any(line.words == FORWARDED for line in section.lines):
        return "replaced"
    line = section.last("option", "forwardfor")
    if not line or not section.has_option("forwardfor"):
        return ""
    return " ".join(("added", *line.words[2:]))


def kept_alive(section: Section) -> str:
    """What becomes of a connection after a request of HTTP."""
    lines = [section.last("option", name) for name in KEPT]
    on = [line for line in lines if line and section.has_option(line.words[1])]
    last = max(on, key=lambda line: line.number).words[1] if on else KEPT[0]
    reuse = section.value("http-reuse") or "safe"
    return f"{last}, reuse {reuse}"
