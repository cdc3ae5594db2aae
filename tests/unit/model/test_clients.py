"""Clients files: what is accepted, and what every mistake is answered with."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from portway.errors import PortwayError, refuse_if_any
from portway.model.clients import parse_clients, read_clients

GOOD = {"client_name": "one", "client_port": 9001}


def refusal(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(PortwayError) as error:
        refuse_if_any(parse_clients(text, "clients.json").problems)
    return str(error.value)


def refusal_of_entry(**changes: Any) -> str:
    return refusal({"clients": [{**GOOD, **changes}]})


def test_chef_attributes_load_unchanged() -> None:
    text = """{
      "clients": [
        {"client_name": "client_one", "client_port": 9001},
        {"client_name": "client_two", "client_port": 9002}
      ],
      "app_nodes": [
        {"app_node_name": "node_one", "app_node_ip": "10.0.0.11"},
        {"app_node_name": "node_two", "app_node_ip": "10.0.0.12"}
      ]
    }"""
    found = parse_clients(text, "attributes.json")
    assert [(c.client_name, c.client_port) for c in found.clients] == [
        ("client_one", 9001),
        ("client_two", 9002),
    ]
    assert found.app_nodes is not None
    assert [str(n.app_node_ip) for n in found.app_nodes] == ["10.0.0.11", "10.0.0.12"]


def test_every_field_loads() -> None:
    entry = {
        **GOOD,
        "mode": "http",
        "app_port": 9100,
        "allow": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"],
        "max_connections": 10,
        "balance": "source",
        "nodes": ["app-1"],
        "ordered": False,
        "idle_timeout": 60,
        "send_proxy": True,
        "enabled": False,
        "description": "Überweisungen, it's fine",
    }
    (client,) = parse_clients(json.dumps({"clients": [entry]}), "c.json").clients
    assert [str(n) for n in client.allow or ()] == [
        "10.0.0.0/8",
        "192.0.2.7/32",
        "2001:db8::/32",
    ]
    assert client.description == "Überweisungen, it's fine"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_port": 0}, "one: client_port: 0 is too small; the least is 1"),
        ({"client_port": 65536}, "one: client_port: 65536 is too large"),
        ({"client_port": "nine"}, 'whole number without quotes, not "nine"'),
        ({"client_port": True}, "whole number without quotes, not True"),
        ({"client_port": 9001.5}, "one: client_port: must be a whole number"),
        ({"client_port": None}, "one: client_port: must be a whole number"),
        ({"client_name": 7}, "clients[1]: client_name: must be a text in quotes"),
        ({"client_name": ""}, "clients[1]: client_name: "),
        ({"client_name": "a b"}, '"a b" cannot be a name in HAProxy'),
        ({"client_name": "a\n  bind :1"}, r'"a\n  bind :1" cannot be a name'),
        ({"client_name": "a#"}, "cannot be a name"),
        ({"client_name": "ä"}, "cannot be a name"),
        ({"client_name": "a\n"}, "cannot be a name"),
        ({"mode": "udp"}, "\"udp\" is not one of 'tcp' or 'http'"),
        ({"allow": []}, "one: allow: is an empty list"),
        ({"allow": "10.0.0.0/8"}, "one: allow: must be a list in brackets"),
        ({"allow": ["10.0.0.1/8"]}, 'write "10.0.0.0/8"'),
        ({"allow": ["10.0.0.0/33"]}, '"10.0.0.0/33" is not a network'),
        ({"allow": ["example.com"]}, '"example.com" is not a network'),
        ({"allow": ["fe80::%eth0/64"]}, '"fe80::%eth0/64" is not a network'),
        ({"allow": ["::1%x\n bind :1 #/128"]}, r'"::1%x\n bind :1 #/128" is not'),
        ({"allow": [10]}, 'allow.0: must be a text such as "192.0.2.0/24"'),
        ({"nodes": []}, "one: nodes: is an empty list"),
        ({"nodes": ["a b"]}, "one: nodes.0: "),
        ({"max_connections": 0}, "max_connections: 0 is too small"),
        ({"idle_timeout": 9_999_999}, "the most is 2147483"),
        ({"balance": "magic"}, '"magic" is not one of'),
        ({"enabled": "yes"}, "must be true or false without quotes"),
        ({"ordered": 1}, "must be true or false without quotes"),
        ({"description": "a\nb"}, "must be one line"),
        ({"description": "x" * 201}, "the most is 200 characters"),
        ({"description": "\ud800"}, "one: description: "),
        ({"alow": ["10.0.0.0/8"]}, 'unknown key "alow"; did you mean "allow"?'),
        ({"clinet_port": 1}, 'did you mean "client_port"?'),
    ],
)
def test_each_mistake_is_named(changes: dict[str, Any], expected: str) -> None:
    message = refusal_of_entry(**changes)
    assert expected in message
    assert message.startswith("clients.json: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{", "clients.json: is not valid JSON: "),
        ("", "clients.json: is not valid JSON: "),
        ('{"clients": [{"client_name": "a", "client_name": "b"}]}', "appears twice"),
        ("[" * 100_000, "clients.json: is nested too deeply"),
        ([], "clients.json: must be an object"),
        ({}, 'clients.json: "clients": is missing'),
        ({"clients": []}, "is an empty list"),
        ({"clients": {}}, "must be a list"),
        ({"clients": [7]}, "clients[1]: must be an object"),
        ({"clients": [{}]}, 'clients[1]: "client_name" is missing; add it'),
        ({"clients": [GOOD], "client": []}, 'did you mean "clients"?'),
        ({"clients": [GOOD], "app_nodes": {}}, '"app_nodes": must be a list'),
        (
            {"clients": [GOOD], "app_nodes": [{"app_node_name": "n"}]},
            'n: "app_node_ip" is missing',
        ),
        (
            {
                "clients": [GOOD],
                "app_nodes": [{"app_node_name": "n", "app_node_ip": "10.1"}],
            },
            'n: app_node_ip: "10.1" is not an IPv4 address',
        ),
    ],
)
def test_each_broken_document_is_named(document: object, expected: str) -> None:
    assert expected in refusal(document)


@pytest.mark.parametrize(
    "address",
    [
        True,
        1,
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
    ],
)
def test_address_that_no_node_has_is_refused(address: object) -> None:
    nodes = [{"app_node_name": "n", "app_node_ip": address}]
    assert "n: app_node_ip: " in refusal({"clients": [GOOD], "app_nodes": nodes})


def test_many_problems_are_cut() -> None:
    entries = [{"client_name": f"c{n}", "client_port": 0} for n in range(1000)]
    message = refusal({"clients": entries})
    assert re.match(r"\d+ problems; nothing was touched:", message)
    assert re.search(r"… and \d+ more$", message)
    assert message.count("\n") < 60


def test_byte_order_mark_of_an_editor_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    path.write_text(json.dumps({"clients": [GOOD]}), encoding="utf-8-sig")
    assert read_clients(path).problems == ()


def test_repeated_names_and_ports_name_both_entries() -> None:
    entries = [GOOD, {**GOOD, "client_name": "two"}, {**GOOD, "client_port": 9002}]
    message = refusal({"clients": entries})
    assert "two: port 9001 is already used by one; give one of them" in message
    assert "one: name one is already used by an earlier entry" in message


def test_all_problems_are_told_at_once() -> None:
    entries = [
        {"client_name": "a", "client_port": 70000},
        {"client_name": "b", "client_port": 9001, "mode": "udp"},
        {"client_name": "b", "client_port": 9001},
    ]
    message = refusal({"clients": entries})
    assert message.startswith("4 problems; nothing was touched:")
    for part in ("a: client_port", "b: mode", "b: name b", "b: port 9001"):
        assert f"clients.json: {part}" in message


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PortwayError, match=r"absent\.json: no such file"):
        read_clients(tmp_path / "absent.json")


def test_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PortwayError, match=r"clients\.json: cannot be read"):
        read_clients(path)
