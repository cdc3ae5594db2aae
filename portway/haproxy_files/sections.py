"""An HAProxy file as sections, each with the lines that it has from its defaults.

Words are split as HAProxy splits them: quotes, backslashes and comments.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

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
LEAST = {
    "acl": 3,
    "bind": 2,
    "default_backend": 2,
    "http-request": 2,
    "mode": 2,
    "no": 2,
    "option": 2,
    "server": 3,
    "tcp-request": 3,
    "timeout": 3,
    "use-server": 2,
    "use_backend": 2,
}
"""How many words a line has at least, itself included."""


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one line, and where it is."""

    number: int
    words: tuple[str, ...]

    def starts(self, *words: str) -> bool:
        return self.words[: len(words)] == words

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Section:
    """A frontend, backend or listen section, with what its defaults give it."""

    kind: str
    name: str
    lines: tuple[Line, ...]
    """Those of its defaults first: of two that say the same, the last one counts."""

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


@dataclass(frozen=True, slots=True)
class File:
    """The proxies of an HAProxy file."""

    source: str
    sections: tuple[Section, ...]
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
    defaults: dict[str, tuple[Line, ...]] = {}
    usual: tuple[Line, ...] = ()
    unread: list[str] = []
    for head, lines in _parts(text, unread, source):
        kind, *rest = head.words
        origin = rest[rest.index("from") + 1 :] if "from" in rest else []
        inherited = usual
        if origin and origin[0] not in defaults:
            unread.append(f"{source}:{head.number}: no defaults {origin[0]}")
        elif origin:
            inherited = defaults[origin[0]]
        if kind == "defaults":
            usual = (*(inherited if origin else ()), *lines)
            if rest and rest[0] != "from":
                defaults[rest[0]] = usual
        elif kind in PROXIES:
            name = rest[0] if rest else ""
            own = lines
            if kind != "backend" and len(rest) > 1 and rest[1] != "from":
                bind = Line(head.number, ("bind", *rest[1:]))  # as before HAProxy 1.5
                own = (bind, *lines)
            sections.append(Section(kind, name, (*inherited, *own)))
    backends = {s.name: s for s in reversed(sections) if s.kind != "frontend"}
    return File(source, tuple(sections), tuple(unread), backends)


def _parts(
    text: str, unread: list[str], source: str
) -> Iterator[tuple[Line, tuple[Line, ...]]]:
    """Each section's first line, and the others."""
    head: Line | None = None
    lines: list[Line] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        words = tuple(split(raw))
        if not words:
            continue
        if words[0].startswith(".") or any("$" in word for word in words):
            unread.append(
                f"{source}:{number}: {words[0]} depends on the environment of HAProxy"
            )
        if words[0] in KINDS:
            if head:
                yield head, tuple(lines)
            head, lines = Line(number, words), []
        elif len(words) < LEAST.get(words[0], 1):
            unread.append(f"{source}:{number}: {' '.join(words)} is not complete")
        elif not words[0].startswith("."):
            lines.append(Line(number, words))
    if head:
        yield head, tuple(lines)


def split(line: str) -> Iterator[str]:
    """The words of a line."""
    word, quote, started = "", "", False
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            word, started = word + next(characters, ""), True
        elif quote:
            quote, word = (
                ("", word) if character == quote else (quote, word + character)
            )
        elif character in "\"'":
            quote, started = character, True
        elif character == "#":
            break
        elif character.isspace():
            if started:
                yield word
            word, started = "", False
        else:
            word, started = word + character, True
    if started:
        yield word
