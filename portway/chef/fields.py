"""A cookbook's own words for clients and nodes, as Portway's fields.

Every cookbook chose its own. Those here are guesses: each that is used is named.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from portway.chef.units import lacks_unit, seconds, unit_at
from portway.errors import Problem
from portway.model.chef import ADDRESS_KEYS, whole_number
from portway.model.fields import HAPROXY_NAME

Entry = dict[str, Any]
CLIENT_WORDS: Mapping[str, tuple[str, ...]] = {
    "client_name": ("name", "id", "title"),
    "client_port": ("port", "listen_port", "frontend_port", "bind_port"),
    "mode": ("protocol",),
    "app_port": ("backend_port", "server_port", "member_port", "target_port"),
    "allow": (
        "allow_list",
        "allowed",
        "allowed_ips",
        "allowed_networks",
        "allowlist",
        "sources",
        "whitelist",
    ),
    "max_connections": ("maxconn", "max_conn"),
    "balance": ("balance_algorithm", "algorithm"),
    "nodes": (),
    "ordered": (),
    "idle_timeout": ("client_timeout", "timeout"),
    "retire_after": (),
    "send_proxy": ("proxy_protocol",),
    "enabled": ("active",),
    "description": ("comment", "contact", "owner"),
}
NODE_WORDS: Mapping[str, tuple[str, ...]] = {
    "app_node_name": ("name", "hostname", "host"),
    "app_node_ip": ("ip", "ipaddress", "ip_address", "address"),
}
NUMBERS = ("client_port", "app_port", "max_connections")
TIMES = ("idle_timeout", "retire_after")
TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
HOST = r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?"


@dataclass(slots=True)
class Translated:
    """Entries in Portway's fields, and what is to be said about them."""

    entries: list[Entry] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def entries_of(value: object, name_key: str) -> list[Entry] | None:
    """A list of objects, or an object of objects by name; None if it is neither."""
    if isinstance(value, list) and all(isinstance(v, dict) for v in value):
        return list(value)
    if isinstance(value, dict) and value:
        if all(isinstance(v, dict) for v in value.values()):
            return [{name_key: name} | entry for name, entry in value.items()]
        if name_key == "app_node_name" and all(map(_is_text, value.values())):
            return [{name_key: n, "app_node_ip": ip} for n, ip in value.items()]
    return None


def has_word(entry: Entry, field_: str) -> bool:
    """Whether an entry has a field, under any of its names."""
    words = CLIENT_WORDS.get(field_) or NODE_WORDS[field_]
    return bool(entry.keys() & {field_, *words})


def clients(values: list[Entry], path: str, unit: str = "") -> Translated:
    """The entries of ``clients``, with what cannot be taken over.

    ``unit`` is that of times that have none; without it they are not taken over.
    """
    unit = unit or unit_at(path)
    found = _translated(values, path, CLIENT_WORDS, unit)
    for entry in found.entries:
        label = _label(entry, "client_name", "a client")
        for name in NUMBERS:
            if name in entry:
                entry[name] = whole_number(entry[name])
        for name in ("ordered", "send_proxy", "enabled"):
            text = str(entry.get(name)).lower()
            if isinstance(entry.get(name), str) and text in TRUTHS:
                entry[name] = TRUTHS[text]
        for name in ("mode", "balance"):
            if isinstance(entry.get(name), str):
                entry[name] = entry[name].lower()
        for name in TIMES:
            if name in entry:
                _take_time(entry, name, unit, Problem(path, label, ""), found)
        if "allow" in entry:
            entry["allow"] = list(_allow(entry["allow"], label, path, found))
    return found


def nodes(values: list[Entry], path: str) -> Translated:
    """The entries of ``app_nodes``, those with a DNS name for an address left out."""
    found = _translated(values, path, NODE_WORDS, "")
    kept = []
    for entry in found.entries:
        ip = entry.get("app_node_ip")
        if isinstance(ip, str) and re.fullmatch(HOST, ip):
            text = (
                "app_node_ip is a DNS name, and HAProxy would not notice when its "
                "address changes; write its IPv4 address (getent ahostsv4 NAME), or "
                "use the nodes that AWS has: --without-app-nodes"
            )
            label = _label(entry, "app_node_name", "a node")
            found.problems.append(Problem(path, label, text))
        else:
            kept.append(entry)
    found.entries = kept
    return found


def _translated(
    values: list[Entry], path: str, words: Mapping[str, tuple[str, ...]], unit: str
) -> Translated:
    found = Translated()
    for given in values:
        entry: Entry = {}
        left = dict(given)
        for name, others in words.items():
            taken = [word for word in (name, *others) if word in left][:1]
            for word in taken:
                place = f"{path}[].{word}"
                if name in TIMES and lacks_unit(left[word]) and not unit:
                    found.notes.append(
                        f"{name} may be {place}, which has no unit: say "
                        "--timeouts-in s, or ms"
                    )
                    continue
                value = left.pop(word)
                if value is None:  # nil: nobody has set it
                    continue
                entry[name] = value
                if word != name:
                    found.guesses.append(f"{name} is {place}; a guess")
        found.entries.append(entry)
        found.unread += [f"{path}[].{key}" for key in left]
    found.guesses = list(dict.fromkeys(found.guesses))
    found.notes = list(dict.fromkeys(found.notes))
    found.unread = list(dict.fromkeys(found.unread))
    return found


def _take_time(
    entry: Entry, name: str, unit: str, where: Problem, found: Translated
) -> None:
    value = seconds(entry.pop(name), unit)
    if value is not None and value == int(value):
        entry[name] = int(value)
        return
    text = f"its {name} is no whole number of seconds; write one such as 3600s"
    found.problems.append(replace(where, text=text))


def _label(entry: Entry, key: str, otherwise: str) -> str:
    """What an entry is called; what can be no name may be anything, and is not told."""
    name = entry.get(key)
    fits = isinstance(name, str) and re.fullmatch(HAPROXY_NAME, name)
    return str(name) if fits else otherwise


def _allow(value: object, label: str, path: str, found: Translated) -> Iterator[object]:
    """The networks of an allow-list, with the remarks that they have."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if isinstance(value, dict):
        value = [{"name": name, "network": net} for name, net in value.items()]
    items = value if isinstance(value, list) else [value]
    for number, item in enumerate(items, 1):
        networks = (
            [item[key] for key in ADDRESS_KEYS if key in item]
            if isinstance(item, dict)
            else [item]
        )
        names = [n for n in networks if isinstance(n, str) and re.fullmatch(HOST, n)]
        if names:
            text = (
                f"allow has a DNS name, in place {number}, and HAProxy compares "
                "addresses; write the network that its connections come from"
            )
            found.problems.append(Problem(path, label, text))
        else:
            yield item


def _is_text(value: object) -> bool:
    return isinstance(value, str)
