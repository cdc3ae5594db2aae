"""Exports of Chef's, taken over: clients, settings, and what was not understood."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from portway.chef import fields
from portway.chef.documents import Attributes, Document, Kind
from portway.chef.precedence import Resolved, resolve, value_at
from portway.chef.settings import Found, concerns, cookbook, settings
from portway.errors import PortwayError, Problem
from portway.model.build import problems_in_any_stack
from portway.model.clients import parse_clients
from portway.model.settings import settings_from

BAG = "data_bag"
CLIENTS = ("clients", "customers", "frontends", "listeners", "services")
"""What a list of clients may be called."""
NODES = ("app_nodes", "app_servers", "backends", "members", "nodes", "servers")
"""What a list of application nodes may be called."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where things are; None to look for them."""

    clients_path: str | None = None
    app_nodes_path: str | None = None
    without_app_nodes: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    """Paths of attributes by setting."""
    environment: str | None = None
    without_roles: tuple[str, ...] = ()
    timeout_unit: str = ""
    """Of clients' times that have none: ``s`` or ``ms``; empty to leave them out."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What was made of exports."""

    clients: str
    """The clients file, as JSON."""
    settings: Mapping[str, Any]
    origins: Mapping[str, str]
    """Which attribute each setting is, and who set it."""
    taken: tuple[str, ...]
    """What was taken for what."""
    notes: tuple[str, ...]
    unread: tuple[str, ...]
    """The attributes that were not understood: their paths, never their values."""
    problems: tuple[Problem, ...]
    """What a run would refuse, and what cannot be taken over. Without values: Chef may
    have a secret where something else is looked for."""


def take_over(documents: Iterable[Document], wanted: Wanted) -> TakenOver:
    """Take exports over. PortwayError if it cannot be told what counts."""
    found = list(documents)
    bag, encrypted = _bag(found)
    every = resolve(
        found, environment=wanted.environment, without_roles=wanted.without_roles
    )
    results = [(_one(resolved, bag, wanted), resolved) for resolved in every]
    having = [(result, resolved) for result, resolved in results if result]
    if not having and wanted.clients_path:
        raise PortwayError(
            f"--clients-path {wanted.clients_path}: there is no list of clients there",
            why="it is a list of objects, or an object of objects by name",
        )
    if not having:
        raise PortwayError(
            "no list of clients was found",
            why=f"one of {', '.join(CLIENTS)}, each with a name and a port",
            do="say where it is, such as --clients-path lb.customers",
        )
    first, resolved = having[0]
    for other, its in having[1:]:
        if (other.clients, other.settings) != (first.clients, first.settings):
            raise PortwayError(
                f"node {resolved.name} and node {its.name} have not the same clients "
                "and settings",
                why="both load balancers get the same from Portway",
                do="name the file of the one that counts",
            )
    alone = [its.name for result, its in results if not result]
    notes = [f"node {name} has no clients; it is not used" for name in alone]
    notes += [
        f"{name} is encrypted and not read: secrets belong into Secrets Manager"
        for name in encrypted
    ]
    return TakenOver(
        first.clients,
        first.settings,
        first.origins,
        first.taken,
        (*first.notes, *notes),
        first.unread,
        first.problems,
    )


def _one(resolved: Resolved, bag: Attributes, wanted: Wanted) -> TakenOver | None:
    """What one node's attributes make; None if it has no clients."""
    both = Resolved(
        resolved.name,
        resolved.attributes | ({BAG: bag} if bag else {}),
        resolved.sources,
        resolved.notes,
    )
    path, entries = _clients_at(both.attributes, wanted)
    if entries is None:
        return None
    made = fields.clients(entries, path, wanted.timeout_unit)
    taken = [f"clients are {path}{_by(both, path)}"]
    node_path, nodes, notes = _nodes_at(both, wanted, cookbook(path))
    read = [path, *([node_path] if node_path else [])]
    if nodes is not None:
        taken.append(f"app_nodes are {node_path}{_by(both, node_path)}")
    cookbooks = {cookbook(place) for place in read}
    leaves = _leaves(both.attributes, read)
    near = [leaf for leaf in leaves if concerns(leaf, cookbooks)]
    found = settings(both, near, wanted.settings)
    document: Attributes = {"clients": made.entries}
    if nodes and nodes.entries:
        document["app_nodes"] = nodes.entries
    problems = [*made.problems, *(nodes.problems if nodes else ())]
    text = _text(document)
    problems += [p.without_value() for p in _refused(text, found.values)]
    unread = [leaf for leaf in leaves if leaf not in found.paths]
    return TakenOver(
        clients=text,
        settings=found.values,
        origins={n: f"{p}{_by(both, p)}" for n, p in _by_setting(found).items()},
        taken=(
            *taken,
            *made.guesses,
            *(nodes.guesses if nodes else ()),
            *_said(both, found),
        ),
        notes=(*resolved.notes, *made.notes, *notes, *found.notes),
        unread=(*made.unread, *(nodes.unread if nodes else ()), *unread),
        problems=tuple(problems),
    )


def _text(document: Attributes) -> str:
    """The clients file, with an entry a line."""
    lists = [
        f'  "{key}": [\n'
        + ",\n".join(f"    {json.dumps(e, ensure_ascii=False)}" for e in entries)
        + "\n  ]"
        for key, entries in document.items()
    ]
    return "{\n" + ",\n".join(lists) + "\n}\n"


def _by_setting(found: Found) -> dict[str, str]:
    return {name: path for path, name in reversed(found.paths.items())}


def _said(resolved: Resolved, found: Found) -> Iterator[str]:
    """Which settings which attributes are."""
    for path, name in found.paths.items():
        guess = "; a guess" * (path in found.guessed)
        yield f"{name} is {path}{_by(resolved, path)}{guess}"


def _by(resolved: Resolved, path: str) -> str:
    origin = resolved.origin(path)
    return f" ({origin})" if origin else ""


def _refused(text: str, values: Mapping[str, Any]) -> list[Problem]:
    """What a run would refuse of clients and settings, whatever the stack is."""
    clients = parse_clients(text, "clients.json")
    try:
        settings = settings_from({"clients_file": "clients.json", **values})
    except PortwayError as error:
        return [*clients.problems, *error.problems]
    return problems_in_any_stack(settings, clients)


def _clients_at(
    attributes: Attributes, wanted: Wanted
) -> tuple[str, list[fields.Entry] | None]:
    if wanted.clients_path:
        value = value_at(attributes, wanted.clients_path)
        return wanted.clients_path, fields.entries_of(value, "client_name") or None
    found = dict(_lists(attributes, CLIENTS, "client_name", "client_port"))
    if len(found) > 1:
        raise PortwayError(
            f"clients may be {' or '.join(found)}",
            do="say which: --clients-path PATH",
        )
    return next(iter(found.items()), ("", None))


def _nodes_at(
    resolved: Resolved, wanted: Wanted, whose: str
) -> tuple[str, fields.Translated | None, list[str]]:
    """The path of application nodes, what they are, and what is to be said."""
    path = wanted.app_nodes_path
    lists = _lists(resolved.attributes, NODES, "app_node_name", "app_node_ip")
    found = {place: nodes for place, nodes in lists if concerns(place, [whose])}
    if path:
        entries = fields.entries_of(
            value_at(resolved.attributes, path), "app_node_name"
        )
        if entries is None:
            raise PortwayError(
                f"--app-nodes-path {path}: there is no list of nodes there"
            )
    elif len(found) > 1 and not wanted.without_app_nodes:
        raise PortwayError(
            f"the application nodes may be {' or '.join(found)}",
            do="say which: --app-nodes-path PATH, or --without-app-nodes",
        )
    else:
        path, entries = next(iter(found.items()), ("", None))
    if entries is None:
        return "", None, ["a run uses the application nodes that AWS has"]
    if not entries or wanted.without_app_nodes:
        why = "is left out" if entries else "is empty, as for a search"
        return path, None, [f"{path} {why}: a run uses the nodes that AWS has"]
    note = (
        f"{path} goes before the nodes that AWS has, so that nothing follows those: "
        "--without-app-nodes leaves it out"
    )
    return path, fields.nodes(entries, path), [note]


def _lists(
    attributes: Attributes, names: tuple[str, ...], name_key: str, needed: str
) -> Iterator[tuple[str, list[fields.Entry]]]:
    """The lists of such a name whose entries have what is needed, with their paths."""
    left = [("", attributes)]
    while left:
        path, holder = left.pop(0)
        for key, value in holder.items():
            here = f"{path}.{key}" if path else key
            entries = fields.entries_of(value, name_key)
            is_empty = value == [] and key == "app_nodes"
            is_bag = here == BAG and name_key == "client_name"
            is_named = (is_empty or entries) and (key in names or is_bag)
            if is_named and all(fields.has_word(e, needed) for e in entries or ()):
                yield here, entries or []
            elif isinstance(value, dict):
                left.append((here, value))


def _leaves(attributes: Attributes, read: list[str]) -> list[str]:
    """The paths of all attributes but those below what is read already."""
    found: list[str] = []
    left: list[tuple[str, Any]] = [("", attributes)]
    while left:
        path, value = left.pop(0)
        if path in read:
            continue
        if isinstance(value, dict) and value:
            left += [(f"{path}.{k}" if path else k, v) for k, v in value.items()]
        elif value not in ({}, []) or not path:
            found.append(path)
    return [path for path in found if path]


def _bag(documents: list[Document]) -> tuple[Attributes, list[str]]:
    """The items of data bags by id, and those that are encrypted."""
    items: Attributes = {}
    encrypted: list[str] = []
    for document in documents:
        if document.kind is Kind.ITEM:
            plain: Attributes = {}
            for key, value in document.body.items():
                if isinstance(value, dict) and "encrypted_data" in value:
                    encrypted.append(f"{document.title}: {key}")
                elif key not in ("chef_type", "data_bag", "id", "json_class"):
                    plain[key] = value
            if plain:
                items[document.name] = plain
    return items, encrypted
