"""What settings, clients, values of the Stack and lines of files come from."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from portway.aws.sources import source
from portway.errors import PortwayError, unknown_key
from portway.model.clients import Client
from portway.model.places import Place, entry_places
from portway.model.saved import Saved
from portway.model.settings import Settings
from portway.render.provenance import Input, provenance
from portway.render.variation import Wish, stack_values
from portway.run.group_data import inventory_groups
from portway.run.offline import Wishes, read_wishes, wishes_of

FALLBACK = {"balance", "idle_timeout", "retire_after"}
"""Fields of clients that a setting of the same name replaces where they are absent."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One thing that something comes from."""

    kind: str
    """``setting``, ``client``, ``app node`` or ``stack``."""
    name: str
    value: str
    """As JSON."""
    place: str
    """File and line, ``default``, or a call to AWS."""
    group: str = ""
    """Of hosts, if a file of settings has it."""
    role: str = ""
    """``hidden`` by what comes before, or of the ``section`` of a line."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What something is, and everything it comes from."""

    what: str
    origins: tuple[Origin, ...]
    notes: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    """Clients of which one is enough for a line to be there."""
    untried: tuple[str, ...] = ()
    """What may decide a line and has no other value that could be tried."""


Scopes = Mapping[str, Wishes]
"""What people decided, by who it is for."""


def scopes_of(inventories: Iterable[Path]) -> dict[str, Wishes]:
    """By inventory and groups of hosts."""
    return {
        f"{inventory}, {', '.join(groups)}": read_wishes(str(inventory), groups)
        for inventory in inventories
        for groups in inventory_groups(inventory)
    }


def explain(target: str, scopes: Scopes) -> dict[Explanation, list[str]]:
    """What is known about a setting, a client, one of its fields, or a line of a file.

    Each explanation with the scopes that it holds in. Raises PortwayError if there is
    nothing of that name.
    """
    found: defaultdict[Explanation, list[str]] = defaultdict(list)
    for scope, wishes in scopes.items():
        for explanation in _in_scope(target, wishes):
            found[explanation].append(scope)
    if not found:
        raise PortwayError(_unknown(target, scopes))
    return dict(found)


def explain_line(saved: Saved, node: str, path: str, number: int) -> Explanation:
    """What decides a line of one of a node's files.

    Raises PortwayError if there is no such line.
    """
    wishes = wishes_of(saved, node)
    wish = Wish(saved.stack, wishes.settings, wishes.clients)
    found = provenance(wish, node, path, number)
    values = stack_values(saved.stack)
    origins = [_origin_of(used, wishes, values) for used in found.inputs]
    notes = []
    if not found.any_of and not any(origin.role != "section" for origin in origins):
        places = ", ".join(found.templates) or "templates/ and portway/render/"
        notes.append(f"no setting, client or value of the stack changes it: {places}")
    text = found.text.strip()
    return Explanation(text, tuple(origins), tuple(notes), found.any_of, found.untried)


def explain_stack(saved: Saved, path: str) -> Explanation:
    """Where a value of the Stack comes from; PortwayError if it has none there."""
    values = stack_values(saved.stack)
    if path not in values:
        raise PortwayError(unknown_key(path, values))
    value = _shown(values[path])
    return Explanation(
        f"{path} = {value}", (Origin("stack", path, value, source(path)),)
    )


def _in_scope(target: str, wishes: Wishes) -> Iterator[Explanation]:
    if at := re.fullmatch(r"(.+):(\d+)", target):
        yield from _at_line(at[1], int(at[2]), wishes)
    elif target in Settings.model_fields:
        yield _setting(target, wishes)
    else:
        names = {client.client_name for client in wishes.clients.clients}
        name, _, field = target.rpartition(".")
        if target in names:
            yield _client(target, [*_given(target, wishes)], wishes)
        elif name in names and field in Client.model_fields:
            yield _client(name, [field], wishes)


def _at_line(file: str, line: int, wishes: Wishes) -> Iterator[Explanation]:
    wanted = Path(file).resolve()
    for name, assigned in wishes.assigned.items():
        if name in Settings.model_fields and any(
            (Path(one.file).resolve(), one.line) == (wanted, line) for one in assigned
        ):
            yield _setting(name, wishes)
    path = wishes.settings.clients_path
    is_named = not wanted.exists() and file == path.name
    if wanted != path.resolve() and not is_named:
        return
    at = [p for p in _places(wishes) if p.first <= line <= p.last]
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for place in at:
        fields[place.name] += [place.field] if place.field else []
    for client, names in fields.items():
        yield _client(client, names or [*_given(client, wishes)], wishes)


def _setting(name: str, wishes: Wishes) -> Explanation:
    origins = tuple(_setting_origins(name, wishes))
    meaning = str(Settings.model_fields[name].description)
    return Explanation(f"{name} = {origins[0].value}", origins, (meaning,))


def _setting_origins(name: str, wishes: Wishes) -> Iterator[Origin]:
    """What counts, and then what it hides."""
    assigned = wishes.assigned.get(name, ())
    if not assigned:
        value = _shown(getattr(wishes.settings, name))
        yield Origin("setting", name, value, "default")
    for number, one in enumerate(reversed(assigned)):
        role = "hidden" if number else ""
        yield Origin("setting", name, _shown(one.value), one.place, one.group, role)


def _client(name: str, fields: Sequence[str], wishes: Wishes) -> Explanation:
    origins = tuple(o for field in fields for o in _field_origins(name, field, wishes))
    if len(fields) != 1:
        return Explanation(f"client {name}", origins)
    meaning = str(Client.model_fields[fields[0]].description)
    return Explanation(f"{name}.{fields[0]} = {origins[0].value}", origins, (meaning,))


def _field_origins(name: str, field: str, wishes: Wishes) -> Iterator[Origin]:
    """The field, and the setting that counts in its place if it is absent."""
    client = next(c for c in wishes.clients.clients if c.client_name == name)
    place = _given(name, wishes).get(field)
    value = _shown(client.model_dump(mode="json").get(field))
    where = f"{wishes.settings.clients_file}:{place.first}" if place else "default"
    yield Origin("client", f"{name}.{field}", value, where)
    if place is None and field in FALLBACK:
        is_http = client.mode == "http"
        if field != "retire_after" or not is_http:
            setting = "http_timeout" if is_http and field == "idle_timeout" else field
            yield next(_setting_origins(setting, wishes))


def _given(client: str, wishes: Wishes) -> dict[str, Place]:
    """The fields that the file gives a client."""
    return {p.field: p for p in _places(wishes) if p.name == client and p.field}


def _places(wishes: Wishes, key: str = "clients") -> tuple[Place, ...]:
    text = wishes.settings.clients_path.read_text(encoding="utf-8-sig")
    return entry_places(text, key)


def _origin_of(used: Input, wishes: Wishes, values: Mapping[str, Any]) -> Origin:
    role = "section" if used.of_section else ""
    if used.kind == "setting":
        origin = next(_setting_origins(used.name, wishes))
    elif used.kind == "app node":
        origin = _named_node(used.name, wishes)
    elif used.kind == "client":
        client, _, field = used.name.rpartition(".")
        origin = next(_field_origins(client, field, wishes))
    else:
        value = _shown(values[used.name])
        origin = Origin("stack", used.name, value, source(used.name))
    return replace(origin, role=role)


def _named_node(name: str, wishes: Wishes) -> Origin:
    """A field of an application node that the clients file names."""
    node, _, field = name.rpartition(".")
    nodes = {n.app_node_name: n for n in wishes.clients.app_nodes or ()}
    value = _shown(nodes[node].model_dump(mode="json")[field])
    (place,) = (
        p for p in _places(wishes, "app_nodes") if (p.name, p.field) == (node, field)
    )
    where = f"{wishes.settings.clients_file}:{place.first}"
    return Origin("app node", name, value, where)


def _shown(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _unknown(target: str, scopes: Scopes) -> str:
    clients = {c.client_name for w in scopes.values() for c in w.clients.clients}
    if ":" in target:
        return f"{target}: no setting and no client is on that line"
    near = get_close_matches(target, {*Settings.model_fields, *clients}, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f"{target} is no setting and no client{hint}"
