"""How a section's servers are checked, in one line."""

from hashlib import sha256

from portway.haproxy_files.durations import UNIT
from portway.haproxy_files.lines import Line
from portway.haproxy_files.sections import Section
from portway.model.durations import milliseconds

OTHER = (
    "ldap-check",
    "mysql-check",
    "pgsql-check",
    "redis-check",
    "smtpchk",
    "ssl-hello-chk",
    "tcp-check",
)
DEFAULTS = {"inter": "2000", "fall": "3", "rise": "2"}
STEPS = ("connect", "expect", "send", "send-binary", "send-binary-lf", "send-lf")
"""What is done in a check of several steps; all else is about logs and states."""


def health_check(section: Section, options: dict[str, str]) -> str:
    """What is asked, on which port, and when a server is taken out and put back."""
    if "check" not in options:
        return "none"
    port = options.get("port")
    where = f" on port {port}" if port else ""
    every = milliseconds(options.get("inter", DEFAULTS["inter"]), UNIT)
    fall, rise = (options.get(word, DEFAULTS[word]) for word in ("fall", "rise"))
    often = f"every {every / 1000:g} s" if every is not None else "at times"
    return f"{_question(section)}{where}, {often}, down after {fall}, up after {rise}"


def _question(section: Section) -> str:
    lines = [section.last("option", kind) for kind in (*OTHER, "httpchk")]
    on = [line for line in lines if line and section.has_option(line.words[1])]
    if not on:
        return "connects"
    line = max(on, key=lambda line: line.number)
    kind = line.words[1]
    if kind == "tcp-check":
        return ", ".join((kind, *map(_said, _steps(section, kind))))
    if kind != "httpchk":
        return kind
    steps = _steps(section, "http-check")
    done = {step.words[1]: step for step in steps}
    if "connect" in done or len(done) < len(steps):
        return ", ".join(("HTTP", *map(_said, steps)))
    sent, expected = done.get("send"), done.get("expect")
    words = line.words[2:]
    method, path = "OPTIONS", "/"
    if len(words) == 1:
        path = words[0]
    elif words:
        method, path = words[:2]
    if sent:
        pairs = dict(zip(sent.words[2:], sent.words[3:], strict=False))
        method, path = pairs.get("meth", method), pairs.get("uri", path)
    path, mark, query = path.partition("?")
    status = " ".join(expected.words[2:]) if expected else "status 200-399"
    return f"HTTP {method} {path}{mark and mark + _secret(query)}, {status}"


def _steps(section: Section, kind: str) -> list[Line]:
    """What a check does one after another; a section's own replace its defaults'."""
    own = [line for line in section.own if line.starts(kind)]
    lines = own or section.starting(kind)
    return [line for line in lines if line.words[1:2] and line.words[1] in STEPS]


def _said(step: Line) -> str:
    """A step in words. What it sends may be secret."""
    what, *more = step.words[1:]
    text = " ".join(more)
    return f"{what} {_secret(text) if what.startswith('send') else text}"


def _secret(text: str) -> str:
    """A mark that two texts share if they are the same, and that tells neither."""
    return f"#{sha256(text.encode(errors='replace')).hexdigest()[:4]}"
