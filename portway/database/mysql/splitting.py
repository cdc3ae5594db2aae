"""An SQL file cut into statements as the ``mariadb`` client cuts it. Pure.

Delimiters count outside strings and comments only. ``DELIMITER`` is a command of the
client, which the server never sees.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

STRING = r"""'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|`[^`]*`?"""
COMMENT = r"\#[^\n]*|--(?=\s|\Z)[^\n]*|/\*(?!M?!).*?(?:\*/|\Z)"
"""Not ``/*! … */``, which a server takes for code."""
COMMAND = r"(?P<name>(?i:\bDELIMITER))[ \t]+(?P<word>\S+)[^\n]*"
CONDITION = re.compile(r"/\*M?!\d*|\*/")
"""What begins and ends code that only some servers read."""
SPACE = re.compile(r"\s*")
LONE_DASHES = re.compile(r"--[^\n]*")
"""A comment to the client where a statement would begin, but not to the server."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, and where it is in its file."""

    text: str
    code: str
    """Without comments, but for strings in one piece."""
    line: int
    """From 1."""
    delimiter: str


def statements(text: str) -> Iterator[Statement]:
    """The statements of a file, without those that are comments only."""
    delimiter, began, at = ";", 0, 0
    lines = _Lines(text)
    code = list[str]()
    while True:
        while not code and (dashes := _dashes_at_line_start(text, at)):
            began = at = dashes
        found = _parts(delimiter).search(text, at)
        plain = text[at : found.start() if found else len(text)]
        if code or plain.strip():
            code.append(plain)
        if found is None or found["end"] or _is_command(text, found, code):
            end = found.start() if found else len(text)
            if code:
                whole = text[began:end]
                line = lines.at(began + len(whole) - len(whole.lstrip()))
                seen = CONDITION.sub(" ", "".join(code)).strip()
                yield Statement(whole.strip(), seen, line, delimiter)
            if found is None:
                return
            delimiter = found["word"] or delimiter
            began, code = found.end(), []
        elif found["comment"] and code:
            code.append(" ")
        elif found["comment"]:
            began = found.end()
        else:
            end = found.end() if found["string"] else found.end("name")
            code.append(text[found.start() : end])
            at = end
            continue
        at = found.end()


@functools.cache
def _parts(delimiter: str) -> re.Pattern[str]:
    end = re.escape(delimiter)
    return re.compile(
        f"(?P<end>{end})|(?P<string>{STRING})|(?P<comment>{COMMENT})|{COMMAND}",
        re.DOTALL,
    )


def _dashes_at_line_start(text: str, at: int) -> int | None:
    """Where the rest of the line ends, if a comment of the client's is next."""
    skipped = SPACE.match(text, at)
    if skipped is None or text[skipped.end() - 1 : skipped.end()] not in ("\n", ""):
        return None
    found = LONE_DASHES.match(text, skipped.end())
    return found.end() if found else None


def _is_command(text: str, found: re.Match[str], code: list[str]) -> bool:
    """Whether it is ``DELIMITER`` on a line where a statement could begin."""
    if code or not found["word"]:
        return False
    return not text[text.rfind("\n", 0, found.start()) + 1 : found.start()].strip()


class _Lines:
    """Tells the line of positions that only grow."""

    def __init__(self, text: str) -> None:
        self._text, self._seen, self._line = text, 0, 1

    def at(self, position: int) -> int:
        self._line += self._text.count("\n", self._seen, position)
        self._seen = position
        return self._line


def batches(text: str) -> tuple[str, ...]:
    """A file as the server takes it.

    What ends with semicolons goes to it in one piece, because it knows better than the
    client where a routine ends.
    """
    found = list[str]()
    joined = False
    for statement in statements(text):
        plain = statement.delimiter == ";"
        if plain and joined:
            found[-1] += f"\n{statement.text};"
        else:
            found.append(statement.text + ";" * plain)
        joined = plain
    return tuple(found)
