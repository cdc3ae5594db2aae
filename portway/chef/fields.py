"""A cookbook's own words for clients and nodes, as Portway's fields.

Every cookbook chose its own. Those here are guesses: each that is used is named.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from portway.chef.units import seconds
from portway.errors import Problem, shown
from portway.model.chef import ADDRESS_KEYS, whole_number

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
NUMBERS = ("client_port", "app_port", "max_connections", "retire_after")
TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
HOST = r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?"


@dataclass(slots=True)
class Translated:
    """Entries in Portway's fields, and what is to be said about them."""

    entries: list[Entry] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
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


def clients(values: list[Entry], path: str) -> Translated:
    """The entries of ``clients``, with what cannot be taken over."""
    found = _translated(values, path, CLIENT_WORDS)
    for entry in found.entries:
        label = str(entry.get("client_name", "a client"))
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
        if "idle_timeout" in entry:
            _take_timeout(entry, label, path, found)
        if "allow" in entry:
            entry["allow"] = list(_allow(entry["allow"], label, path, found))
    return found


def nodes(values: list[Entry], path: str) -> Translated:
    """The entries of ``app_nodes``, those with a DNS name for an address left out."""
    found = _translated(values, path, NODE_WORDS)
    kept = []
    for entry in found.entries:
        ip = entry.get("app_node_ip")
        if isinstance(ip, str) and re.fullmatch(HOST, ip):
            text = (
                f'app_node_ip "{ip}" is a DNS name, and HAProxy would not notice when '
                f"its address changes; write its IPv4 address (getent ahostsv4 {ip}), "
                "or use the nodes that AWS has: --without-app-nodes"
            )
            found.problems.append(Problem(path, str(entry.get("app_node_name")), text))
        else:
            kept.append(entry)
    found.entries = kept
    return found


def _translated(
    values: list[Entry], path: str, words: Mapping[str, tuple[str, ...]]
) -> Translated:
    found = Translated()
    for value in values:
        entry: Entry = {}
        left = dict(value)
        for name, others in words.items():
            taken = [word for word in (name, *others) if word in left][:1]
            for word in taken:
                entry[name] = left.pop(word)
                if word != name:
                    found.guesses.append(f"{name} is {path}[].{word}; a guess")
        found.entries.append(entry)
        found.unread += [f"{path}[].{key}" for key in left]
    found.guesses = list(dict.fromkeys(found.guesses))
    found.unread = list(dict.fromkeys(found.unread))
    return found


def _take_timeout(entry: Entry, label: str, path: str, found: Translated) -> None:
    value = seconds(entry.pop("idle_timeout"), "s")
    if value is not None and value == int(value):
        entry["idle_timeout"] = int(value)
        return
    text = "its timeout is no whole number of seconds; write one such as 3600"
    found.problems.append(Problem(path, label, text))


def _allow(value: object, label: str, path: str, found: Translated) -> Iterator[object]:
    """The networks of an allow-list, with the remarks that they have."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if isinstance(value, dict):
        value = [{"name": name, "network": net} for name, net in value.items()]
    for item in value if isinstance(value, list) else [value]:
        networks = (
            [item[key] for key in ADDRESS_KEYS if key in item]
            if isinstance(item, dict)
            else [item]
        )
        names = [n for n in networks if isinstance(n, str) and re.fullmatch(HOST, n)]
        if names:
            text = (
                f"allow has the DNS name {shown(names[0])}, and HAProxy compares "
                "addresses; write the network that its connections come from"
            )
            found.problems.append(Problem(path, label, text))
        else:
            yield item


def _is_text(value: object) -> bool:
    return isinstance(value, str)
