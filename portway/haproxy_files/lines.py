"""The lines of an HAProxy file: their words, and what of them may be printed.

Words are split as HAProxy splits them: quotes, backslashes and comments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SPACES = " \t\r\v\f"
"""What is between words; lines end with a newline, and with nothing else."""
LEAST = {
    "acl": 3,
    "balance": 2,
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
SHOWN = {
    "cookie": 2,
    "default_backend": 2,
    "dispatch": 2,
    "filter": 2,
    "http-after-response": 2,
    "http-request": 2,
    "http-response": 2,
    "monitor-uri": 2,
    "no": 3,
    "option": 2,
    "stick": 3,
    "tcp-request": 3,
    "use-server": 2,
    "use_backend": 2,
}
"""How many words of a line are printed, where it is not one; others may be secrets."""
HEADERS = ("add-header", "del-header", "replace-header", "set-header")
"""Actions after which the name of a header is printed, too."""
ADDRESSES = {"bind": 1, "frontend": 2, "listen": 2, "server": 2}
"""Which word is an address. HAProxy puts variables into it without quotes, too."""
UNHEEDED = ("description", "log", "log-format", "log-format-sd", "log-tag")
"""Where variables change nothing that is compared."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something cannot be told."""

    text: str
    line: int = 0
    """Where it is in the file; 0 if it is not about one line."""

    def of(self, source: str) -> str:
        place = f":{self.line}" if self.line else ""
        return f"{source}{place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Line:
    """The words of one line, and where it is."""

    number: int
    words: tuple[str, ...]

    def starts(self, *words: str) -> bool:
        return self.words[: len(words)] == words

    @property
    def shown(self) -> str:
        """Its first words."""
        count = SHOWN.get(self.words[0], 1)
        if self.words[1:2] and self.words[1] in HEADERS:
            count += 1
        more = " …" if len(self.words) > count else ""
        return " ".join(self.words[:count]) + more

    def because(self, why: str = "") -> Reason:
        """A reason that names it."""
        return Reason(f"{self.shown}{why and ': '}{why}", self.number)

    @property
    def is_whole(self) -> bool:
        return len(self.words) >= LEAST.get(self.words[0], 1)


def lines_of(text: str) -> Iterator[tuple[Line, bool]]:
    """The lines that say something, each with whether the environment changes it."""
    for number, raw in enumerate(text.split("\n"), start=1):
        found = list(_split(raw))
        if not found:
            continue
        line = Line(number, tuple(word for word, _ in found))
        place = ADDRESSES.get(line.words[0], len(line.words))
        changes = line.words[0].startswith(".") or any(
            is_expanded or (at == place and "$" in word)
            for at, (word, is_expanded) in enumerate(found)
        )
        yield line, changes and line.words[0] not in UNHEEDED


def split(line: str) -> Iterator[str]:
    """The words of a line."""
    return (word for word, _ in _split(line))


def _split(line: str) -> Iterator[tuple[str, bool]]:
    """The same, each with whether HAProxy puts variables into it: within "…"."""
    word, quote, started, is_expanded = "", "", False, False
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            word, started = word + next(characters, ""), True
        elif quote:
            is_expanded = is_expanded or (quote == '"' and character == "$")
            quote, word = (
                ("", word) if character == quote else (quote, word + character)
            )
        elif character in "\"'":
            quote, started = character, True
        elif character == "#":
            break
        elif character in SPACES:
            if started:
                yield word, is_expanded
            word, started, is_expanded = "", False, False
        else:
            word, started = word + character, True
    if started:
        yield word, is_expanded
