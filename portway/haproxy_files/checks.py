"""How a section's servers are checked, in one line."""

from portway.haproxy_files.durations import milliseconds
from portway.haproxy_files.sections import Section

OTHER = (
    "ldap-check",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "smtpchk",
    "ssl-hello-chk",
    "tcp-check",
)
DEFAULTS = {"inter": "2000", "fall": "3"}


def health_check(section: Section, options: dict[str, str]) -> str:
    """What is asked, on which port, and when a server is taken out."""
    if "check" not in options:
        return "none"
    port = options.get("port")
    where = f" on port {port}" if port else ""
    every = milliseconds(options.get("inter", DEFAULTS["inter"]))
    fall = options.get("fall", DEFAULTS["fall"])
    often = f"every {every / 1000:g} s" if every is not None else "at times"
    return f"{_question(section)}{where}, {often}, down after {fall}"


def _question(section: Section) -> str:
    lines = [section.last("option", kind) for kind in (*OTHER, "httpchk")]
    on = [line for line in lines if line and section.has_option(line.words[1])]
    if not on:
        return "connects"
    kind = max(on, key=lambda line: line.number).words[1]
    if kind != "httpchk":
        return kind
    line, sent = section.last("option", "httpchk"), section.last("http-check", "send")
    words = list(line.words[2:]) if line else []
    method, path = "OPTIONS", "/"
    if len(words) == 1:
        path = words[0]
    elif words:
        method, path = words[:2]
    if sent:
        pairs = dict(zip(sent.words[2:], sent.words[3:], strict=False))
        method, path = pairs.get("meth", method), pairs.get("uri", path)
    expected = section.last("http-check", "expect")
    status = " ".join(expected.words[2:]) if expected else "status 200-399"
    return f"HTTP {method} {path}, {status}"
