"""Clients files as they lie in Chef repositories: what is peculiar to them. Pure.

Chef reads JSON with comments and takes numbers in quotes. Attributes may be wrapped in
a role, an environment, a node, a data bag's item, or a cookbook's name.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

from portway.errors import GROUP_DATA, Problem, refuse_if_any, shown

Object = dict[str, Any]
Path = tuple[str, ...]
"""The names that lead to an object."""

KEYS = ("clients", "app_nodes")
"""The attributes that are read."""
KINDS = {
    "role": "a Chef role",
    "environment": "a Chef environment",
    "node": "a Chef node",
    "data_bag_item": "an item of a Chef data bag",
}
"""By ``chef_type``."""
MARKS = {
    "automatic",
    "chef_environment",
    "chef_type",
    "cookbook_versions",
    "data_bag",
    "default",
    "default_attributes",
    "env_run_lists",
    "id",
    "json_class",
    "normal",
    "override",
    "override_attributes",
    "policy_group",
    "policy_name",
    "raw_data",
    "run_list",
}
"""Keys that only an object of Chef has at its top."""
LEVELS = ("default", "default_attributes", "normal", "override", "override_attributes")
"""Those at the top that have attributes."""
FOUND_BY_CHEF = "automatic"
"""What Chef found out about a node: large, and nothing that people decided."""
ADDRESS_KEYS = ("address", "cidr", "ip", "network", "source")
"""What an entry of an allow-list may call its network."""
REMARK_KEYS = ("comment", "contact", "description", "name", "owner")

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def without_comments(text: str) -> str:
    """JSON whose ``//`` and ``/* */`` comments are blank, each on its own lines."""
    return _STRING_OR_COMMENT.sub(
        lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text
    )


def whole_number(value: object) -> object:
    """The number that a text in quotes is; anything else as it is."""
    is_one = isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,9}", value)
    return int(str(value)) if is_one else value


def allowed_network(value: object) -> object:
    """The network of an allow-list's entry that is an object; all else as it is."""
    if not isinstance(value, dict):
        return value
    unknown = sorted(set(value) - {*ADDRESS_KEYS, *REMARK_KEYS})
    networks = [value[key] for key in ADDRESS_KEYS if key in value]
    if unknown or len(networks) != 1:
        raise ValueError(
            f"{shown(value)} is not an entry of an allow-list; write the network alone "
            'in quotes, or an object such as {"cidr": "192.0.2.0/24", "owner": "…"}'
        )
    return networks[0]


def attributes(
    document: Object, source: str
) -> tuple[Object, list[Problem], list[str]]:
    """The clients and nodes that a file has, wherever Chef's wrapping puts them.

    With what is wrong, and what is left unread. A file that is not Chef's is returned
    as it is. Raises PortwayError if one that is has no clients.
    """
    is_wrapped = not MARKS.isdisjoint(document)
    places = {key: dict(_places(document, key)) for key in KEYS}
    if not is_wrapped and ("clients" in document or not places["clients"]):
        return document, [], []
    if not places["clients"]:
        kind = KINDS.get(str(document.get("chef_type")), "a file of Chef")
        text = (
            f'is {kind} without a list "clients" of objects among its attributes; name '
            "the file that has it, such as what knife role show NAME --format json "
            "prints"
        )
        refuse_if_any([Problem(source, "", text)])
    problems = [
        Problem(
            source, f'"{key}"', f"is in {' and in '.join(map(_shown, found))}; keep one"
        )
        for key, found in places.items()
        if len(found) > 1
    ]
    holders = places["clients"] | places["app_nodes"]
    unread = [_unread(path, holders, source) for path in holders]
    unread.append(_unread_levels(document, holders, source))
    chosen = {k: next(iter(f.values()))[k] for k, f in places.items() if f}
    return chosen, problems, [text for text in unread if text]


def _places(document: Object, key: str) -> Iterator[tuple[Path, Object]]:
    """The objects that have a list of objects under this key, with their paths."""
    left: deque[tuple[Path, Object]] = deque([((), document)])
    while left:
        path, holder = left.popleft()
        value = holder.get(key)
        if isinstance(value, list) and all(isinstance(v, dict) for v in value):
            yield path, holder
        left += [
            ((*path, name), inner)
            for name, inner in holder.items()
            if isinstance(inner, dict) and name != FOUND_BY_CHEF
        ]


def _unread(path: Path, holders: dict[Path, Object], source: str) -> str:
    """What is said about attributes beside those that are read; nothing if none."""
    others = set(holders[path]) - {*KEYS}
    others -= {other[len(path)] for other in holders if len(other) > len(path)}
    if not path:
        others -= {*MARKS, "name", "description"}
    if not others:
        return ""
    return (
        f"{source}: of {_shown(path)}, only {' and '.join(KEYS)} are read, not "
        f"{', '.join(sorted(others))}: what they decide are settings in {GROUP_DATA}"
    )


def _unread_levels(document: Object, holders: dict[Path, Object], source: str) -> str:
    """What is said of levels that have attributes, none of which is read."""
    read = {name for path in holders for name in path[:1]}
    if others := [name for name in LEVELS if document.get(name) and name not in read]:
        return (
            f"{source}: {', '.join(others)} is not read: no level of Chef's overrides "
            "another here; put what counts where the clients are"
        )
    return ""


def _shown(path: Path) -> str:
    return shown(".".join(path)) if path else "the file's top"
