"""Other values that an input could have, to see what it decides.

An input is a setting, a field of a client or a value of the Stack; it has a name, and
is varied alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from portway.model.clients import AppNode, Client, Clients
from portway.model.settings import Settings
from portway.model.stack import Stack

ENOUGH = 4
"""Other values that are tried of one input."""
TEXTS = (
    *("other", "/other", "bin/other", "/opt/other", "https://other.example.com"),
    *("kill -USR1 $MAINPID", "0" * 64, "CAP_SYS_TIME", "192.0.2.0/24", "9.9.9"),
)
ELSEWHERE = "192.0.2.77"


@dataclass(frozen=True, slots=True)
class Wish:
    """Everything that files are rendered from."""

    stack: Stack
    settings: Settings
    clients: Clients


Variants = Iterator[tuple[str, Iterable[Wish]]]
"""The name of each input, with the wishes that have another value of it."""


def setting_variants(wish: Wish) -> Variants:
    """Each setting, but for the name of the clients file: clients are varied."""
    for name in Settings.model_fields:
        if name != "clients_file":
            base = {"clients_file": wish.settings.clients_file}
            yield (
                name,
                [
                    replace(wish, settings=other)
                    for other in _others(wish.settings, name, base)
                ],
            )


def client_variants(wish: Wish, number: int) -> Variants:
    """Each field of the client with this index."""
    client = wish.clients.clients[number]
    base = {"client_name": "x", "client_port": 1}
    for name in Client.model_fields:
        yield (
            name,
            [
                with_clients(
                    wish,
                    [
                        other if place == number else kept
                        for place, kept in enumerate(wish.clients.clients)
                    ],
                )
                for other in _others(client, name, base)
            ],
        )


def named_node_variants(wish: Wish) -> Variants:
    """Each field of the application nodes that the clients file names, if it does."""
    nodes = wish.clients.app_nodes or ()
    base = {"app_node_name": "x", "app_node_ip": "192.0.2.76"}
    for number, node in enumerate(nodes):
        for name in AppNode.model_fields:
            changed = [
                (*nodes[:number], other, *nodes[number + 1 :])
                for other in _others(node, name, base)
            ]
            yield (
                f"{node.app_node_name}.{name}",
                [
                    replace(wish, clients=replace(wish.clients, app_nodes=others))
                    for others in changed
                ],
            )


def with_clients(wish: Wish, clients: Iterable[Client]) -> Wish:
    """The same with other clients."""
    return replace(wish, clients=replace(wish.clients, clients=tuple(clients)))


def stack_variants(wish: Wish) -> Variants:
    """Each value of the Stack, named by its path."""
    known = stack_values(wish.stack)
    for path, value, others in _leaves(wish.stack):
        alike = [v for p, v in known.items() if _kind(p) == _kind(path)]
        if path.endswith(".holder"):
            alike += [node.interface_id for node in wish.stack.nodes]
        elif path.endswith(".name"):
            alike = []  # two nodes of one name are no stack
        tried = []
        for other in (*_stack_values(value), *alike):
            if other != value and other not in tried:
                tried.append(other)
        yield path, [replace(wish, stack=others(v)) for v in tried[:ENOUGH]]


def stack_values(stack: Stack) -> dict[str, Any]:
    """Each value of the Stack, by its path."""
    return {path: value for path, value, _ in _leaves(stack)}


def _kind(path: str) -> str:
    return path.rsplit(".", maxsplit=1)[-1]


def _others(model: Any, name: str, base: dict[str, Any]) -> Iterator[Any]:
    """Copies of a model with other valid values of a field."""
    field = type(model).model_fields[name]
    value, found = getattr(model, name), 0
    for candidate in _candidates(value, field.annotation):
        try:
            checked: BaseModel = type(model).model_validate({**base, name: candidate})
        except ValidationError:
            continue
        other = getattr(checked, name)
        if other != value and found < ENOUGH:
            found += 1
            yield model.model_copy(update={name: other})


def _candidates(value: Any, annotation: Any) -> Iterator[Any]:
    """Values that a field may take, those like its own first."""
    yield from _literals(annotation)
    yield from (None, 0, False, True)  # what has a meaning of its own
    if isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2, -value, value + 0.5)
    elif isinstance(value, str):
        yield from (f"{value}2", f"{value}x", f"{value} -x")
    elif isinstance(value, tuple):
        yield from ((), value[:-1])
    yield ELSEWHERE
    yield from (7, 60, 9999)
    yield from TEXTS
    yield from ([text] for text in TEXTS)
    yield [9]


def _literals(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield part
        else:
            yield from _literals(part)


def _leaves(value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Each value in the Stack: its path, itself, and what puts another in its place."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _below(
                getattr(value, field.name),
                field.name,
                lambda v, name=field.name: replace(value, **{name: v}),
            )
    else:  # a tuple
        for number, item in enumerate(value):
            yield from _below(
                item,
                getattr(item, "name", str(number)),
                lambda v, n=number: (*value[:n], v, *value[n + 1 :]),
            )


def _below(value: Any, name: str, put: Any) -> Iterator[tuple[str, Any, Any]]:
    inside = isinstance(value, tuple) and any(map(is_dataclass, value))
    if not inside and not is_dataclass(value):
        yield name, value, put
        return
    for path, inner, others in _leaves(value):
        yield f"{name}.{path}", inner, lambda v, o=others: put(o(v))


def _stack_values(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, Enum):
        yield from type(value)
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, datetime):
        yield from (value - timedelta(days=999), value + timedelta(days=999))
    elif isinstance(value, tuple):
        yield from ((), (*value, "192.0.2.0/24"))
    elif isinstance(value, str):
        yield ELSEWHERE if _is_address(value) else f"{value}x"
    else:
        yield "x"


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
