"""An HAProxy file as sections, each with the lines that it has from its defaults."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from portway.haproxy_files.lines import Line, Reason, lines_of

PROXIES = ("frontend", "backend", "listen")
KINDS = (
    *PROXIES,
    "acme",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "global",
    "http-errors",
    "log-forward",
    "log-profile",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
)
"""The words that begin a section."""
PROCESS = (
    "maxconn",
    "crt-base",
    "ssl-default-bind-ciphers",
    "ssl-default-bind-ciphersuites",
    "ssl-default-bind-options",
)
"""What clients notice of ``global``; all but the first only where there is TLS."""
SWITCHES = ("disabled", "enabled")


@dataclass(frozen=True, eq=False)
class Section:
    """A frontend, backend or listen section, with what its defaults give it."""

    kind: str
    name: str
    lines: tuple[Line, ...]
    """Those of its defaults first: of two that say the same, the last one counts."""
    own: tuple[Line, ...]
    """Those that are not of its defaults."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @cached_property
    def by_word(self) -> Mapping[str, tuple[Line, ...]]:
        """The lines that begin with each word, in order."""
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.words[0], []).append(line)
        return {word: tuple(lines) for word, lines in found.items()}

    def starting(self, *words: str) -> Iterator[Line]:
        """The lines that begin with these words, in order."""
        alike = self.by_word.get(words[0], ())
        return (line for line in alike if line.starts(*words))

    def last(self, *words: str) -> Line | None:
        """The line that counts of those that begin with these words."""
        return next(reversed(list(self.starting(*words))), None)

    def value(self, *words: str) -> str:
        """The word after these in the line that counts; empty if there is none."""
        line = self.last(*words)
        return line.words[len(words)] if line and len(line.words) > len(words) else ""

    def has_option(self, name: str) -> bool:
        """Whether an option is on: the last line that turns it on or off counts."""
        on, off = self.last("option", name), self.last("no", "option", name)
        return bool(on and (not off or off.number < on.number))

    @property
    def is_http(self) -> bool:
        return self.value("mode") == "http"

    @property
    def is_disabled(self) -> bool:
        said = [line.words[0] for line in self.lines if line.words[0] in SWITCHES]
        return said[-1:] == ["disabled"]

    @cached_property
    def acls(self) -> Mapping[str, tuple[tuple[str, ...], ...]]:
        """What each name of a condition stands for: any of these.

        Lines that add sources to a name are one, so that many are not slow.
        """
        found: dict[str, dict[tuple[str, ...], list[str]]] = {}
        for line in self.starting("acl"):
            what, *values = line.words[2:]
            adds = what in ("src", "dst") and not any(v[:1] == "-" for v in values)
            key = (what,) if adds else line.words[2:]
            more = found.setdefault(line.words[1], {}).setdefault(key, [])
            more += values if adds else ()
        return {
            name: tuple((*key, *values) for key, values in alike.items())
            for name, alike in found.items()
        }


@dataclass(frozen=True, slots=True)
class File:
    """The proxies of an HAProxy file."""

    source: str
    sections: tuple[Section, ...]
    process: Section
    """What ``global`` says."""
    unread: tuple[str, ...] = ()
    """What the file has that decides about others lines, and is not understood."""

    backends: Mapping[str, Section] = field(default_factory=dict)
    """The sections that servers are chosen from, by name."""

    def backend(self, name: str) -> Section | None:
        """The section that servers are chosen from by this name."""
        return self.backends.get(name)


def read(text: str, source: str) -> File:
    """The proxies in a text; ``source`` names it in what is said."""
    sections: list[Section] = []
    process: list[Line] = []
    defaults: dict[str, tuple[Line, ...]] = {}
    usual: tuple[Line, ...] = ()
    unread: list[Reason] = []
    for head, lines in _parts(text, unread):
        kind, *rest = head.words
        origin = rest[rest.index("from") + 1 :] if "from" in rest else []
        inherited = usual
        if "from" in rest and not (origin and origin[0] in defaults):
            unread.append(Reason(f"no defaults {' '.join(origin[:1])}", head.number))
        elif origin:
            inherited = defaults[origin[0]]
        if kind == "defaults":
            usual = (*(inherited if origin else ()), *lines)
            if rest and rest[0] != "from":
                defaults[rest[0]] = usual
        elif kind == "global":
            process += lines
        elif kind in PROXIES:
            name = rest[0] if rest else ""
            own = lines
            if kind != "backend" and len(rest) > 1 and rest[1] != "from":
                bind = Line(head.number, ("bind", *rest[1:]))  # as before HAProxy 1.5
                own = (bind, *lines)
            sections.append(Section(kind, name, (*inherited, *own), own))
    backends = {s.name: s for s in reversed(sections) if s.kind != "frontend"}
    return File(
        source,
        tuple(sections),
        Section("global", "", tuple(process), tuple(process)),
        tuple(reason.of(source) for reason in unread),
        backends,
    )


def _parts(text: str, unread: list[Reason]) -> Iterator[tuple[Line, tuple[Line, ...]]]:
    """Each section's first line, and those of its others that count."""
    head: Line | None = None
    lines: list[Line] = []
    for line, changes in lines_of(text):
        is_head = line.words[0] in KINDS
        if is_head:
            if head:
                yield head, tuple(lines)
            head, lines = line, []
        is_directive = line.words[0].startswith(".")
        counts = is_directive or (head is not None and _counts(head, line))
        if counts and changes:
            unread.append(line.because("depends on the environment of HAProxy"))
        if is_directive or is_head or not counts:
            continue
        if line.is_whole:
            lines.append(line)
        else:
            unread.append(line.because("is not complete"))
    if head:
        yield head, tuple(lines)


def _counts(head: Line, line: Line) -> bool:
    """Whether a line of the section with this head says anything of connections."""
    if head.words[0] == "global":
        return line.words[0] in PROCESS
    return head.words[0] in (*PROXIES, "defaults")
