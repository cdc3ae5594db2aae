"""What a line of a file comes from: which inputs change it, found by changing each.

Nothing is guessed: the file is rendered again with another value of one input after the
other, and an input belongs to the line if the line is not there then.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.render.node import NodeFiles, node_files
from portway.render.templates import TEMPLATES
from portway.render.variation import (
    Wish,
    client_variants,
    named_node_variants,
    setting_variants,
    stack_variants,
    with_clients,
)

MOST_PLACES = 2
"""In templates; a line such as a brace has many, which say nothing."""
Kind = Literal["setting", "client", "app node", "stack"]
Key = tuple[str, str]
"""The line that begins its section, and the line itself."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input that decides a line."""

    kind: Kind
    name: str
    """Of the setting, ``CLIENT.FIELD``, or a path in the Stack."""
    of_section: bool = False
    """Whether it decides the section that the line is in, and not the line."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What decides one line."""

    text: str
    inputs: tuple[Input, ...]
    any_of: tuple[str, ...]
    """Clients of which one is enough for the line to be there."""
    templates: tuple[str, ...]
    """Places in templates that have the line word by word."""
    untried: tuple[str, ...]
    """Inputs of which no other value is possible here."""


def provenance(wish: Wish, node: str, path: str, number: int) -> Provenance:
    """What decides a line of a node's file; the first has the number 1.

    Raises PortwayError if there is no such line, or what is wished is refused.
    """
    line = _Line(wish, node, path, number)
    alone, any_of = _deciding_clients(line)
    deciding = [wish.clients.clients[index] for index in alone]
    base = _without_others(line, alone or any_of[:1])
    line = line.within(base)
    variants: list[tuple[Kind, str, Iterable[Wish]]] = [
        *(("setting", *found) for found in setting_variants(base)),
        *(
            ("client", f"{client.client_name}.{name}", wishes)
            for index, client in enumerate(base.clients.clients)
            if client in deciding
            for name, wishes in client_variants(base, index)
        ),
        *(("app node", *found) for found in named_node_variants(base)),
        *(("stack", *found) for found in stack_variants(base)),
    ]
    inputs, untried = [], []
    for kind, name, wishes in variants:
        results = {line.changed_by(other) for other in wishes}
        if results & {Change.LINE, Change.SECTION}:
            inputs.append(Input(kind, name, of_section=Change.LINE not in results))
        elif Change.NONE not in results:
            untried.append(f"{kind} {name}")
    templates = tuple(_in_templates(line.text))
    return Provenance(
        text=line.text,
        inputs=tuple(inputs),
        any_of=tuple(wish.clients.clients[index].client_name for index in any_of),
        templates=templates if len(templates) <= MOST_PLACES else (),
        untried=tuple(untried),
    )


class Change(Enum):
    """What another wish does to a line."""

    NONE = "it is there"
    LINE = "it is not there"
    SECTION = "it is there, in another section"
    REFUSED = "nobody can know"


class _Line:
    """A line of a file, to be looked for in what other wishes make of the file."""

    def __init__(self, wish: Wish, node: str, path: str, number: int) -> None:
        self.wish = wish
        places = [n.name for n in wish.stack.nodes]
        if node not in places:
            known = ", ".join(places)
            raise PortwayError(f"there is no node {node}", do=f"choose one of {known}")
        self._place = places.index(node)  # its name is an input, too
        self._path = path
        lines = self._files(wish).file(path).content.splitlines()
        if not 1 <= number <= len(lines):
            raise PortwayError(f"{path} on {node} has {len(lines)} lines, not {number}")
        self.text = lines[number - 1]
        self._key = _keys(lines)[number - 1]
        self._before = self._counts(lines)

    def within(self, wish: Wish) -> "_Line":
        """The same line in what another wish makes of the file; it is there."""
        found = copy(self)
        found.wish, found._before = wish, self._counts(self._lines(wish))
        return found

    def changed_by(self, wish: Wish) -> Change:
        """What a wish does to the line."""
        try:
            lines = self._lines(wish)
        except PortwayError:
            return Change.REFUSED
        in_section, of_section, of_text = (
            now < before
            for now, before in zip(self._counts(lines), self._before, strict=True)
        )
        if not in_section:
            return Change.NONE
        return Change.SECTION if of_section and not of_text else Change.LINE

    def _counts(self, lines: Sequence[str]) -> tuple[int, int, int]:
        """How often there are the line in its section, the section, and the line."""
        section = self._key[0]
        keys = _keys(lines)
        return keys.count(self._key), lines.count(section), lines.count(self.text)

    def _lines(self, wish: Wish) -> list[str]:
        """The file; empty if there is none of this path."""
        files = self._files(wish)
        if self._path in files.left_out:
            raise PortwayError(f"nobody knows {self._path}")
        return [
            line
            for file in files.files
            if file.path == self._path
            for line in file.content.splitlines()
        ]

    def _files(self, wish: Wish) -> NodeFiles:
        """PortwayError if nobody can know them."""
        node = wish.stack.nodes[self._place]
        if node.role is not self.wish.stack.nodes[self._place].role:
            raise PortwayError("a node of another role has other files")
        cluster = build_cluster(wish.stack, wish.settings, wish.clients)
        return node_files(cluster, node.name, "")


def _keys(lines: Iterable[str]) -> list[Key]:
    found: list[Key] = []
    section = ""
    for line in lines:
        if line[:1].strip():  # not empty, and not indented
            section = line
        found.append((section, line))
    return found


def _deciding_clients(line: _Line) -> tuple[list[int], list[int]]:
    """The clients that the line needs, and those of which it needs any."""
    clients = line.wish.clients.clients
    everyone = range(len(clients))

    def without(left_out: Sequence[int]) -> bool:
        out = set(left_out)
        kept = [c for i, c in enumerate(clients) if i not in out]
        return line.changed_by(with_clients(line.wish, kept)) is not Change.NONE

    if not without(everyone):
        return [], []
    alone = _search(everyone, without)
    if alone:
        return alone, []
    return [], [
        index
        for index in everyone
        if line.changed_by(with_clients(line.wish, [clients[index]])) is Change.NONE
    ]


def _without_others(line: _Line, kept: Sequence[int]) -> Wish:
    """A wish with few clients in which the line is the same, if there is one.

    Those that it needs and one other, so that each may go. Thousands take long.
    """
    clients = line.wish.clients.clients
    enabled = [i for i, c in enumerate(clients) if c.enabled and i not in kept]
    few = [clients[index] for index in (*kept, *enabled[:1])]
    small = with_clients(line.wish, few)
    return small if line.changed_by(small) is Change.NONE else line.wish


def _search(some: Sequence[int], matters: Callable[[Sequence[int]], bool]) -> list[int]:
    """Those of some that matter alone, halving what matters together."""
    if not some or not matters(some):
        return []
    if len(some) == 1:
        return list(some)
    middle = len(some) // 2
    return _search(some[:middle], matters) + _search(some[middle:], matters)


def _in_templates(text: str) -> Iterable[str]:
    for template in sorted(TEMPLATES.glob("*.j2")):
        for number, line in enumerate(template.read_text().splitlines(), start=1):
            if line.strip() and line.strip() == text.strip():
                yield f"templates/{template.name}:{number}"
