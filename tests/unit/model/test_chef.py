"""Clients files as they lie in Chef repositories."""

import json
from typing import Any

import pytest

from portway.errors import PortwayError, refuse_if_any
from portway.model.clients import Clients, parse_clients

CLIENTS = [
    {"client_name": "client_one", "client_port": 9001},
    {"client_name": "client_two", "client_port": 9002},
]
NODES = [{"app_node_name": "node_one", "app_node_ip": "10.0.0.11"}]
ATTRIBUTES = {"clients": CLIENTS, "app_nodes": NODES}
ROLE: dict[str, Any] = {"name": "lb", "description": "", "json_class": "Chef::Role"}
ROLE |= {"chef_type": "role", "run_list": ["recipe[message_lb]"]}
NODE: dict[str, Any] = {
    "name": "lb1.example.com",
    "chef_environment": "prod",
    "run_list": [],
}


def parsed(document: object) -> Clients:
    text = document if isinstance(document, str) else json.dumps(document)
    found = parse_clients(text, "lb.json")
    refuse_if_any(found.problems)
    return found


def refusal(document: object) -> str:
    with pytest.raises(PortwayError) as error:
        parsed(document)
    return error.value.message


@pytest.mark.parametrize(
    "document",
    [
        ATTRIBUTES,
        {"run_list": ["recipe[message_lb]"]} | ATTRIBUTES,
        {"message_lb": ATTRIBUTES},
        {"run_list": [], "message_lb": {"balancer": ATTRIBUTES}},
        ROLE | {"default_attributes": ATTRIBUTES, "override_attributes": {}},
        ROLE | {"default_attributes": {}, "override_attributes": {"lb": ATTRIBUTES}},
        ROLE
        | {"default_attributes": {"lb": {"clients": CLIENTS}}}
        | {"override_attributes": {"lb": {"app_nodes": NODES}}},
        ROLE
        | {
            "default_attributes": {"nfs": {"clients": ["10.0.0.0/8"]}, "lb": ATTRIBUTES}
        },
        {"name": "prod", "chef_type": "environment", "default_attributes": ATTRIBUTES},
        NODE | {"normal": {"tags": [], "message_lb": ATTRIBUTES}},
        NODE | {"automatic": {"lb": ATTRIBUTES}, "default": {"lb": ATTRIBUTES}},
        {"id": "prod"} | ATTRIBUTES,
        {"chef_type": "data_bag_item", "raw_data": {"id": "prod"} | ATTRIBUTES},
    ],
)
def test_clients_are_found_in_whatever_chef_wraps_them(document: object) -> None:
    plain = parse_clients(json.dumps(ATTRIBUTES), "lb.json")
    found = parsed(document)
    assert (found.clients, found.app_nodes) == (plain.clients, plain.app_nodes)


def test_attributes_that_nothing_reads_are_told() -> None:
    role = ROLE | {"default_attributes": {"lb": ATTRIBUTES | {"timeout": 5}, "ntp": {}}}
    assert parsed(role).warnings == (
        'lb.json: of "default_attributes.lb", only clients and app_nodes are read, not '
        "timeout: what they decide are settings in group_data",
    )
    assert "ntp" in "".join(parsed({"run_list": [], "ntp": {}} | ATTRIBUTES).warnings)
    assert parsed(ROLE | {"default_attributes": {"lb": ATTRIBUTES}}).warnings == ()
    assert parsed({"run_list": [], "lb": ATTRIBUTES}).warnings == ()


@pytest.mark.parametrize(
    "document", [ATTRIBUTES, {"chef_type": "role", "default_attributes": ATTRIBUTES}]
)
def test_level_that_nothing_reads_is_told(document: dict[str, object]) -> None:
    (said,) = parsed(document | {"override": {"lb": {"timeout": 5}}}).warnings
    assert said.startswith("lb.json: override is not read: no level of Chef's")
    assert parsed(document | {"override": {}, "run_list": ["ntp"]}).warnings == ()


def test_lists_in_two_places_are_refused() -> None:
    role = ROLE | {"default_attributes": ATTRIBUTES, "override_attributes": ATTRIBUTES}
    for key in ("clients", "app_nodes"):
        where = 'is in "default_attributes" and in "override_attributes"; keep one'
        assert f'lb.json: "{key}": {where}' in refusal(role)


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (ROLE | {"default_attributes": {"ntp": {}}}, "a Chef role"),
        (ROLE | {"default_attributes": {"clients": {"one": {}}}}, "a Chef role"),
        ({"chef_type": "node", "normal": {}}, "a Chef node"),
        (NODE, "a file of Chef"),
    ],
)
def test_a_file_without_clients_is_called_what_it_is(
    document: object, kind: str
) -> None:
    said = refusal(document)
    assert said.startswith(f'lb.json: is {kind} without a list "clients"')
    assert "knife role show NAME --format json" in said


def test_ruby_is_called_ruby() -> None:
    with pytest.raises(PortwayError, match=r"lb\.rb: is Ruby; name what knife role"):
        parse_clients('name "lb"\ndefault_attributes("clients" => [])\n', "lb.rb")


def test_comments_are_read_as_chef_reads_them() -> None:
    text = """// the clients
    { /* two
         of them */
      "clients": [ // see the wiki
        {"client_name": "one", "client_port": 9001, "description": "a // b /* c */"},
        {"client_name": "two", "client_port": 9002, "description": "\\"// d"} /**/
      ] // "end
    }"""
    assert [c.description for c in parsed(text).clients] == [
        "a // b /* c */",
        '"// d',
    ]


@pytest.mark.parametrize("text", ['{"clients": [] /* }', '{"clients": [] / }'])
def test_what_is_no_comment_is_refused(text: str) -> None:
    assert "is not valid JSON: " in refusal(text)


def test_mistakes_are_told_with_their_line_in_spite_of_comments() -> None:
    assert "line 3 column 1" in refusal('/* one\ntwo */ {"clients": [\n} // three')


NUMBERS = ("client_port", "app_port", "max_connections", "idle_timeout", "retire_after")


@pytest.mark.parametrize("field", NUMBERS)
def test_numbers_in_quotes_are_numbers(field: str) -> None:
    (client,) = parsed({"clients": [CLIENTS[0] | {field: "9007"}]}).clients
    assert getattr(client, field) == 9007
    for wrong in ("", " 9007", "09007", "9007.0", "-1", "9007 ", "1e3", "٩٠٠٧"):
        entry: dict[str, Any] = CLIENTS[0] | {field: wrong}
        assert f"client_one: {field}: must be a whole" in refusal({"clients": [entry]})


def test_ports_are_compared_as_numbers() -> None:
    entries = [CLIENTS[0], CLIENTS[1] | {"client_port": "9001"}]
    assert "port 9001 is already used by client_one" in refusal({"clients": entries})


@pytest.mark.parametrize("nodes", [[], None])
def test_no_named_nodes_mean_those_of_aws(nodes: object) -> None:
    assert parsed({"clients": CLIENTS, "app_nodes": nodes}).app_nodes is None


@pytest.mark.parametrize("key", ["address", "cidr", "ip", "network", "source"])
def test_allowed_networks_may_have_an_owner(key: str) -> None:
    allow = [{key: "192.0.2.0/24", "owner": "Bank"}, "198.51.100.7"]
    (client,) = parsed({"clients": [CLIENTS[0] | {"allow": allow}]}).clients
    assert [str(network) for network in client.allow or ()] == [
        "192.0.2.0/24",
        "198.51.100.7/32",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"owner": "Bank"},
        {"cidr": "192.0.2.0/24", "ip": "192.0.2.1"},
        {"cidr": "192.0.2.0/24", "port": 9001},
    ],
)
def test_an_allow_entry_that_is_not_understood_is_refused(entry: object) -> None:
    said = refusal({"clients": [CLIENTS[0] | {"allow": [entry]}]})
    assert "client_one: allow.0: " in said
    assert '{"cidr": "192.0.2.0/24", "owner": "…"}' in said


def test_a_wrong_network_of_an_owner_is_told_as_any() -> None:
    allow = [{"cidr": "192.0.2.1/24", "owner": "Bank"}]
    said = refusal({"clients": [CLIENTS[0] | {"allow": allow}]})
    assert 'write "192.0.2.0/24"' in said
