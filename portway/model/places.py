"""On which lines of a clients file its values are. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from portway.model.chef import without_comments

Path = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value of a client, or of a named node, is."""

    name: str
    field: str
    """Empty for the whole entry."""
    first: int
    last: int
    """Lines, from 1."""


NAMES = {"clients": "client_name", "app_nodes": "app_node_name"}


def entry_places(text: str, key: str = "clients") -> tuple[Place, ...]:
    """Where clients and their fields are in a text that ``parse_clients`` takes.

    With another ``key``, those of ``app_nodes``.
    """
    plain = without_comments(text)
    values = {path: (start, end) for path, start, end in _values(plain)}
    found = []
    for path, (start, end) in values.items():
        if len(path) < 2 or path[-2] != key or not isinstance(path[-1], int):
            continue
        name_place = values.get((*path, NAMES[key]))
        if name_place is None:
            continue
        name = str(json.loads(plain[name_place[0] : name_place[1]].partition(":")[2]))
        found.append(Place(name, "", _line(plain, start), _line(plain, end)))
        found += [
            Place(name, str(inner[-1]), _line(plain, first), _line(plain, last))
            for inner, (first, last) in values.items()
            if inner[:-1] == path
        ]
    return tuple(found)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _values(text: str) -> Iterator[tuple[Path, int, int]]:
    """Each value with the positions where it begins, with its key, and ends.

    The text is known to be JSON.
    """
    decoder = json.JSONDecoder()

    def after_space(position: int) -> int:
        while text[position : position + 1].isspace():
            position += 1
        return position

    def walk(start: int, position: int, path: Path) -> Any:
        if text[position] not in "{[":
            _, end = decoder.raw_decode(text, position)
            yield path, start, end
            return end
        is_object = text[position] == "{"
        position, number = after_space(position + 1), 0
        while text[position] not in "}]":
            begin, key = position, number
            if is_object:
                key, position = decoder.raw_decode(text, position)
                position = after_space(after_space(position) + 1)
            position = after_space((yield from walk(begin, position, (*path, key))))
            if text[position] == ",":
                position = after_space(position + 1)
            number += 1
        yield path, start, position + 1
        return position + 1

    yield from walk(0, after_space(0), ())
