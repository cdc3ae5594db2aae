"""Three companies' exports, as clients and settings."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from portway.chef.documents import Kind, read
from portway.chef.takeover import TakenOver, Wanted, take_over
from portway.errors import PortwayError
from portway.model.chef import without_comments
from portway.model.clients import parse_clients
from portway.model.settings import Settings

DATA = Path(__file__).parent / "data"


def taken_over(*names: str, **wanted: Any) -> TakenOver:
    texts = [(name, (DATA / name).read_text()) for name in names]
    return take_over([read(text, name) for name, text in texts], Wanted(**wanted))


def clients(found: TakenOver) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(found.clients)["clients"]
    return entries


SERVER = ("server/role.json", "server/base.json", "server/prod.json")
BAGS = ("bags/lb.json", "bags/acme.json", "bags/globex.json")


def test_node_gets_what_its_roles_and_environment_give_it() -> None:
    found = taken_over("server/node.json", *SERVER)
    assert found.problems == ()
    assert [c["client_name"] for c in clients(found)] == [
        "client_prod",  # the environment's default, before the role's
        "client_one",
        "client_two",
    ]
    assert [c["client_port"] for c in clients(found)] == [9009, 9001, 9002]
    assert clients(found)[2]["allow"][1] == {
        "name": "Two, standby",
        "network": "203.0.113.7",
    }
    assert found.settings == {
        "balance": "leastconn",
        "idle_timeout": 3600,
        "virtual_router_id": 51,
        "advert_interval": 1,
    }
    assert found.origins["balance"] == (
        "message_lb.balance (environment prod, override)"
    )
    assert found.origins["idle_timeout"].endswith("(role message_lb, default)")
    assert found.unread == ("message_lb.haproxy_version", "ntp.servers")
    assert "message_lb.app_nodes is empty, as for a search" in "".join(found.notes)
    assert json.loads(found.clients).keys() == {"clients"}
    assert parse_clients(found.clients, "clients.json").problems == ()


def test_node_that_has_run_is_read_alone_or_with_all_that_it_was_made_of() -> None:
    alone = taken_over("server/node_long.json")
    both = taken_over("server/node_long.json", *SERVER)
    apart = taken_over("server/node.json", *SERVER)
    assert alone.clients == both.clients == apart.clients
    assert alone.settings == both.settings == apart.settings
    assert not any("differs" in note for note in both.notes)
    assert set(alone.unread) - set(apart.unread) == {"message_lb.package"}


def test_role_that_was_changed_since_the_nodes_last_run_is_told() -> None:
    role = (DATA / "server/role.json").read_text().replace('"9001"', '"9011"')
    documents = [read((DATA / n).read_text(), n) for n in ("server/node_long.json",)]
    found = take_over([*documents, read(role, "role.json")], Wanted())
    assert any("role message_lb as exported: leave out the" in n for n in found.notes)
    assert clients(found)[1]["client_port"] == 9001


def test_items_of_a_data_bag_are_clients_and_attributes_settings() -> None:
    found = taken_over(*BAGS, "bags/artifactory.json")
    assert found.problems == ()
    assert clients(found) == [
        {
            "client_name": "acme",
            "client_port": 9001,
            "allow": ["198.51.100.0/24", "203.0.113.7"],
            "description": "noc@acme.example.com",
        },
        {
            "client_name": "globex",
            "client_port": 9002,
            "app_port": 9102,
            "enabled": True,
        },
    ]
    assert json.loads(found.clients)["app_nodes"] == [
        {"app_node_name": "app1", "app_node_ip": "10.0.0.11"},
        {"app_node_name": "app2", "app_node_ip": "10.0.0.12"},
    ]
    assert found.settings["connect_timeout"] == 5
    assert found.settings["max_connections"] == 4096
    assert found.settings["health_path"] == "/health"
    assert found.unread == (
        "data_bag[].tls",
        "haproxy.members[].port",
        "haproxy.app_server_role",
    )
    assert found.settings["idle_timeout"] == 50
    assert "client_port is data_bag[].port; a guess" in found.taken
    assert (
        "balance is haproxy.balance_algorithm (role lb, default); a guess"
        in found.taken
    )
    assert any("artifactory: token is encrypted" in note for note in found.notes)
    assert "encrypted_data" not in repr(found)


def test_attributes_that_may_be_one_setting_and_differ_are_asked_about() -> None:
    text = (DATA / "bags/lb.json").read_text().replace('"50s"', '"60s"')
    documents = [read(text, "lb.json"), read((DATA / BAGS[1]).read_text(), BAGS[1])]
    found = take_over(documents, Wanted())
    assert "idle_timeout" not in found.settings
    assert any("idle_timeout may be" in note for note in found.notes)
    assert "haproxy.defaults_timeouts.client" in found.unread

    told = {"idle_timeout": "haproxy.defaults_timeouts.client:ms"}
    found = take_over(documents, Wanted(settings=told, without_app_nodes=True))
    assert found.settings["idle_timeout"] == 50
    assert "app_nodes" not in json.loads(found.clients)
    assert any("members is left out" in note for note in found.notes)


def test_names_for_addresses_are_refused_with_what_to_do() -> None:
    found = taken_over("solo/solo.json")
    texts = [str(problem) for problem in found.problems]
    assert texts == [
        "acme_lb.customers: one: allow has a DNS name, in place 1, and HAProxy "
        "compares addresses; write the network that its connections come from",
        "acme_lb.app_servers: app1: app_node_ip is a DNS name, and HAProxy would not "
        "notice when its address changes; write its IPv4 address (getent ahostsv4 "
        "NAME), or use the nodes that AWS has: --without-app-nodes",
    ]
    assert clients(found)[1] == {
        "client_name": "two",
        "client_port": 9002,
        "idle_timeout": 2700,
        "send_proxy": True,
    }
    assert found.settings == {"connect_timeout": 0.5}
    assert "idle_timeout may be acme_lb.timeouts.client, which has no unit" in (
        "".join(found.notes)
    )
    assert found.unread == (
        "acme_lb.vip",
        "acme_lb.db_password",
        "acme_lb.timeouts.client",
    )
    assert "hunter2" not in repr(found)


def test_what_a_run_would_refuse_is_refused() -> None:
    lb = {"clients": [{"client_name": "a b", "client_port": 1}] * 2, "fall": "99"}
    wanted = Wanted(settings={"health_fall": "lb.fall"})
    found = take_over([read(json.dumps({"lb": lb}), "a.json")], wanted)
    text = "\n".join(map(str, found.problems))
    assert "cannot be a name in HAProxy" in text
    assert "port 1 is already used by" in text
    assert "health_fall: what is there is too large; the most is 20" in text


def test_what_only_all_clients_and_settings_show_is_refused() -> None:
    """Not by the clients file alone, but by each run with it."""
    entries = [{"client_name": "a", "client_port": 22, "max_connections": 9000}]
    lb = {"clients": entries, "max_connections": 500}
    found = take_over([read(json.dumps({"lb": lb}), "a.json")], Wanted())
    port, most = found.problems
    assert str(port).startswith("clients.json: a: client_port 22 is used by SSH")
    assert "above what a load balancer serves in all, 500" in str(most)


SECRET = "hunter2"
WRONG_ENTRIES: list[dict[str, Any]] = [
    {"owner": [SECRET]},
    {"mode": SECRET},
    {"timeout": SECRET},
    {"timeout": {"a": SECRET}},
    {"balance": f"x {SECRET}"},
    {"port": SECRET},
    {"app_port": f"{SECRET}\n"},
    {"allow": [SECRET]},
    {"allow": [f"{SECRET}!"]},
    {"allow": [{"cidr": "10.0.0.0/8", "password": SECRET}]},
    {"allow": {"office": f"{SECRET}.example.com"}},
    {"nodes": f"app {SECRET}"},
    {"nodes": [f"app {SECRET}"]},
    {"ordered": SECRET},
    {"name": f"one {SECRET}", "timeout": "x"},
    {"name": {"a": SECRET}, "timeout": "x"},
]


@pytest.mark.parametrize("wrong", WRONG_ENTRIES)
def test_what_is_wrong_is_told_without_its_value(wrong: dict[str, Any]) -> None:
    entries = [{"name": "one", "port": 9001} | wrong, {"name": "two", "port": 9002}]
    text = json.dumps({"lb": {"clients": [*entries, entries[0]]}})
    found = take_over([read(text, "a.json")], Wanted())
    assert found.problems
    told = "\n".join(map(str, found.problems))
    assert SECRET not in told
    assert "clients.json: " in told or "lb.clients: " in told


@pytest.mark.parametrize(
    "value", [SECRET, f"{SECRET} {{x}}\n", [SECRET], {"a": SECRET}]
)
def test_setting_that_is_wrong_is_told_without_its_value(value: object) -> None:
    lb = {"clients": [{"name": "one", "port": 9001}], "attribute": value}
    names = Settings.model_fields.keys() - {"clients_file"}
    wanted = Wanted(settings=dict.fromkeys(names, "lb.attribute"))
    found = take_over([read(json.dumps({"lb": lb}), "a.json")], wanted)
    told = "\n".join(map(str, found.problems))
    assert "threads: " in told
    assert SECRET not in told


def test_times_of_clients_without_a_unit_are_left_out_and_told() -> None:
    entries = [
        {"name": "one", "port": 9001, "timeout": 60000, "retire_after": "90"},
        {"name": "two", "port": 9002, "timeout": "45m", "retire_after": 0},
    ]
    documents = [read(json.dumps({"lb": {"clients": entries}}), "a.json")]
    found = take_over(documents, Wanted())
    assert found.problems == ()
    assert [c.get("idle_timeout") for c in clients(found)] == [None, 2700]
    assert [c.get("retire_after") for c in clients(found)] == [None, 0]
    assert (
        "idle_timeout may be lb.clients[].timeout, which has no unit: say "
        "--timeouts-in s, or ms"
    ) in found.notes
    assert found.unread == ("lb.clients[].timeout", "lb.clients[].retire_after")

    told = clients(take_over(documents, Wanted(timeout_unit="ms")))
    assert [c["idle_timeout"] for c in told] == [60, 2700]
    documents = [read(json.dumps({"haproxy": {"clients": entries[:1]}}), "a.json")]
    told = clients(take_over(documents, Wanted()))
    assert told[0]["idle_timeout"] == 60, "HAProxy's own unit, where its cookbooks are"


@pytest.mark.parametrize("digits", ["9" * 400, "1" + "0" * 308 + "h"])
def test_time_that_no_number_can_hold_is_refused_in_words(digits: str) -> None:
    lb = {"clients": [{"name": "a", "port": 9001, "timeout": digits}], "advert_int": 1}
    documents = [read(json.dumps({"lb": lb | {"advert_int": digits}}), "a.json")]
    (problem,) = take_over(documents, Wanted(timeout_unit="s")).problems
    assert "is no whole number of seconds" in str(problem)


def test_attribute_that_is_null_is_one_that_nobody_has_set() -> None:
    entry = {"name": "a", "port": 9001, "timeout": None, "description": None}
    lb = {"clients": [entry], "virtual_router_id": None, "health_path": None}
    documents = [read(json.dumps({"lb": lb}), "a.json")]
    found = take_over(documents, Wanted())
    assert (found.problems, found.settings) == ((), {})
    assert clients(found) == [{"client_name": "a", "client_port": 9001}]
    assert (
        "virtual_router_id may be lb.virtual_router_id, which is null: nothing is "
        "taken over"
    ) in found.notes
    told = Wanted(settings={"virtual_router_id": "lb.virtual_router_id"})
    with pytest.raises(PortwayError, match=r"lb\.virtual_router_id is null"):
        take_over(documents, told)


def test_setting_that_is_no_time_is_not_told_to_need_a_unit() -> None:
    lb = {"clients": [{"name": "a", "port": 9001}], "idle_timeout": "soon"}
    documents = [read(json.dumps({"lb": lb}), "a.json")]
    (note,) = (n for n in take_over(documents, Wanted()).notes if "idle" in n)
    assert "whose value it does not take" in note
    wanted = Wanted(settings={"idle_timeout": "lb.idle_timeout"})
    assert "idle_timeout: " in str(take_over(documents, wanted).problems[0])


def test_every_time_among_the_settings_needs_a_unit() -> None:
    lb = {"clients": [{"name": "a", "port": 9001}], "drain_timeout": 30000}
    found = take_over([read(json.dumps({"lb": lb}), "a.json")], Wanted())
    assert found.settings == {}
    assert any("--setting drain_timeout=lb.drain_timeout:s" in n for n in found.notes)


def test_attributes_without_a_cookbook_are_read() -> None:
    attributes = {
        "clients": [{"client_name": "one", "client_port": "9001"}],
        "app_nodes": [{"app_node_name": "a", "app_node_ip": "10.0.0.11"}],
        "balance": "source",
        "dns": {"balance": "random"},
    }
    found = take_over([read(json.dumps(attributes), "a.json")], Wanted())
    assert found.settings == {"balance": "source"}
    assert json.loads(found.clients).keys() == {"clients", "app_nodes"}
    assert found.unread == ("dns.balance",)


def test_only_cookbooks_for_load_balancers_are_searched() -> None:
    one = [{"client_name": "one", "client_port": 9001}]
    attributes = {
        "lb": {"clients": one, "balance": "best"},
        "postgresql": {"max_connections": 100},
        "dns": {"servers": [{"name": "a", "ip": "10.0.0.2"}]},
        "keepalived": {"virtual_router_id": 7},
    }
    found = take_over([read(json.dumps(attributes), "a.json")], Wanted())
    assert found.settings == {"virtual_router_id": 7}
    assert json.loads(found.clients).keys() == {"clients"}
    assert found.unread == ("lb.balance", "postgresql.max_connections", "dns.servers")
    assert "balance may be lb.balance, whose value it does not take" in (
        "".join(found.notes)
    )


@pytest.mark.parametrize(
    ("names", "wanted", "said"),
    [
        (("server/node.json", *SERVER[:2]), {}, "environment prod is in none"),
        (("server/node.json", SERVER[0], SERVER[2]), {}, "role base is in a run list"),
        (BAGS[:1], {}, "no list of clients was found"),
        (
            SERVER,
            {"clients_path": "lb.nothing"},
            "--clients-path lb.nothing: there is no list of clients there",
        ),
        (SERVER, {"environment": "pord"}, "environment pord is in none of the files"),
        (
            ("server/node_long.json",),
            {"environment": "pord"},
            "environment pord is in none of the files",
        ),
        (SERVER, {"without_roles": ("bsae",)}, "--without-role bsae: no run list"),
        (SERVER, {"app_nodes_path": "lb.nothing"}, "there is no list of nodes there"),
        (SERVER, {"settings": {"idle_timeout": "lb.x"}}, "there is no such attribute"),
        (SERVER, {"settings": {"idletimeout": "ntp"}}, 'did you mean "idle_timeout"'),
        ((*SERVER, BAGS[1]), {}, "clients may be data_bag or message_lb.clients"),
    ],
)
def test_what_cannot_be_told_is_asked_for(
    names: tuple[str, ...], wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(PortwayError) as error:
        taken_over(*names, **wanted)
    assert said in error.value.message


def test_roles_that_are_missing_can_be_done_without() -> None:
    names = ("server/node.json", SERVER[0], SERVER[2])
    found = taken_over(*names, without_roles=("base",))
    assert found.settings["idle_timeout"] == 3600


def test_two_nodes_must_have_the_same() -> None:
    other = (DATA / "server/node_long.json").read_text().replace("9009", "9010")
    documents = [read((DATA / n).read_text(), n) for n in ("server/node_long.json",)]
    with pytest.raises(PortwayError, match="not the same clients"):
        take_over([*documents, read(other, "lb3.json")], Wanted())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("server/node.json", Kind.NODE),
        ("server/node_long.json", Kind.NODE),
        ("server/role.json", Kind.ROLE),
        ("server/prod.json", Kind.ENVIRONMENT),
        ("bags/acme.json", Kind.ITEM),
        ("bags/globex.json", Kind.ITEM),
        ("solo/solo.json", Kind.ATTRIBUTES),
    ],
)
def test_kind_of_a_file_is_found(name: str, kind: Kind) -> None:
    assert read((DATA / name).read_text(), name).kind is kind


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ('["acme", "globex"]', "clients.json", "knife data bag show BAG ITEM -F json"),
        ("name 'lb'", "lb.rb", "Ruby"),
        ("{", "lb.json", "not valid JSON"),
        ('{"a": 1, "a": 2}', "lb.json", "appears twice"),
        ("3", "lb.json", "no export of Chef's"),
        ('{"port": NaN}', "lb.json", "NaN is no number of JSON's"),
        ('{"name": "a\\ud800"}', "lb.json", "not valid JSON"),
    ],
)
def test_files_that_are_no_export_are_refused(text: str, name: str, said: str) -> None:
    with pytest.raises(PortwayError) as error:
        read(text, name)
    assert said in error.value.message


def test_no_export_is_too_odd_to_be_answered() -> None:
    """With entries, with problems or with an error in words."""
    dice = random.Random(1)
    names = ("server/node_long.json", *SERVER, *BAGS, "solo/solo.json")
    for _ in range(300):
        name = dice.choice(names)
        body = json.loads(without_comments((DATA / name).read_text()))
        _make_odd(dice, body)
        with suppress(PortwayError):
            take_over([read(json.dumps(body), name)], Wanted())


def _make_odd(dice: random.Random, body: dict[str, Any]) -> None:
    """Replace something anywhere by something else."""
    holder: Any = body
    while True:
        key = dice.choice([*holder] if isinstance(holder, dict) else range(len(holder)))
        inside = holder[key]
        if isinstance(inside, dict | list) and inside and dice.random() < 0.8:
            holder = inside
            continue
        odd: list[Any] = [
            None,
            3,
            -1.5,
            True,
            "",
            "x y",
            [],
            {},
            [1],
            {"a": "b"},
            [{}],
            [None],
        ]
        holder[key] = dice.choice(odd)
        return
