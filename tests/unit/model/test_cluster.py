"""Stack, settings and clients joined: roles, backends, and what is refused."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portway.contract.address import AddressKind, AddressObject
from portway.errors import PortwayError
from portway.model.build import build_cluster, master_of_record
from portway.model.clients import AppNode, parse_clients
from portway.model.settings import settings_from
from portway.model.stack import Ports, Role, VirtualAddress
from tests.unit.samples import (
    LAUNCH,
    clients,
    cluster,
    elastic_ip,
    node,
    settings,
    stack,
)


def refusal(*entries: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(PortwayError) as error:
        build_cluster(stack(**changes), settings(), clients(*entries))
    return str(error.value)


def test_elder_is_master_of_record() -> None:
    old = node("lb-2", Role.LOAD_BALANCER, 5)
    new = node("lb-1", Role.LOAD_BALANCER, 6)
    assert master_of_record((new, old)) is old


def test_equal_launch_times_are_decided_by_instance_id() -> None:
    first = node("lb-2", Role.LOAD_BALANCER, 5, launched_at=LAUNCH)
    second = node("lb-1", Role.LOAD_BALANCER, 6, launched_at=LAUNCH)
    assert master_of_record((second, first)) is first


def test_tag_wins_over_age() -> None:
    old = node("lb-1", Role.LOAD_BALANCER, 1)
    tagged = node("lb-2", Role.LOAD_BALANCER, 2, preferred_master=True)
    assert master_of_record((old, tagged)) is tagged


def test_both_files_of_a_pair_come_from_one_value() -> None:
    standby, holder = cluster().load_balancers
    assert (standby.peer, holder.peer) == (holder.node, standby.node)
    assert {standby.priority, holder.priority} == {150, 151}
    assert holder.is_master
    assert not standby.is_master


def test_holder_of_the_address_comes_last() -> None:
    for holder in ("lb-1", "lb-2"):
        plain = stack()
        (interface,) = (n.interface_id for n in plain.nodes if n.name == holder)
        held = replace(plain, virtual_address=elastic_ip(interface))
        pair = build_cluster(held, settings(), clients()).load_balancers
        assert [lb.holds_address for lb in pair] == [False, True]
        assert pair[1].name == holder


def test_survivor_of_a_replacement_is_master_and_keeps_the_address() -> None:
    survivor = node("lb-2", Role.LOAD_BALANCER, 2)
    fresh = node("lb-1", Role.LOAD_BALANCER, 1, launched_at=LAUNCH + timedelta(days=90))
    assert master_of_record((fresh, survivor)) is survivor


def test_clients_with_the_same_needs_share_a_backend() -> None:
    found = cluster(
        {"client_name": "a", "client_port": 9001},
        {"client_name": "b", "client_port": 9002},
        {"client_name": "c", "client_port": 9003, "mode": "http"},
    )
    assert [b.name for b in found.backends] == ["http_leastconn", "tcp_leastconn"]
    assert all(server.name for b in found.backends for server in b.servers)
    assert [f.backend for f in found.frontends] == [
        "tcp_leastconn",
        "tcp_leastconn",
        "http_leastconn",
    ]


def test_node_subsets_make_backends_of_their_own() -> None:
    found = cluster(
        {"client_name": "a", "client_port": 9001, "nodes": ["app-2"]},
        {"client_name": "b", "client_port": 9002, "nodes": ["app-1"]},
    )
    assert sorted(s.name for b in found.backends for s in b.servers) == [
        "app-1",
        "app-2",
    ]


def test_a_node_that_is_gone_concerns_its_clients_only() -> None:
    names = ("app-1", "app-2", "app-3")
    entries = (
        {"client_name": "all", "client_port": 9001},
        {"client_name": "some", "client_port": 9002, "nodes": ["app-3", "app-1"]},
        {"client_name": "none", "client_port": 9003, "nodes": ["app-3"]},
    )

    found = build_cluster(stack(names=names), settings(), clients(*entries))

    servers = {b.name: [s.name for s in b.servers] for b in found.backends}
    served = {f.name: (servers[f.backend], f.absent) for f in found.frontends}
    assert served == {
        "all": (["app-1", "app-2"], ()),
        "some": (["app-1"], ("app-3",)),
        "none": ([], ("app-3",)),
    }


def test_a_node_of_the_group_is_unknown_where_the_file_lists_the_nodes() -> None:
    given = replace(
        clients({"client_name": "one", "client_port": 9001, "nodes": ["app-3"]}),
        app_nodes=(
            AppNode.model_validate({"app_node_name": "a", "app_node_ip": "10.0.0.11"}),
        ),
    )

    with pytest.raises(PortwayError, match='no application node "app-3"; there are a'):
        build_cluster(stack(names=("app-3",)), settings(), given)


def test_the_old_name_of_a_node_is_told_with_the_new_one() -> None:
    old = f"app-{stack().with_role(Role.APPLICATION)[1].instance_id}"

    text = refusal({"client_name": "one", "client_port": 9001, "nodes": [old]})

    assert f'one: nodes: "{old}" is called app-2; write that' in text


def test_disabled_clients_have_no_frontend() -> None:
    found = cluster(
        {"client_name": "a", "client_port": 9001},
        {"client_name": "b", "client_port": 9002, "enabled": False},
    )
    assert [f.name for f in found.frontends] == ["a"]


def test_app_nodes_of_the_file_override_discovery() -> None:

    given = clients()
    override = replace(
        given,
        app_nodes=(
            AppNode.model_validate(
                {"app_node_name": "node_one", "app_node_ip": "10.0.0.11"}
            ),
        ),
    )
    found = build_cluster(stack(), settings(), override)
    assert [s.address for b in found.backends for s in b.servers] == ["10.0.0.11"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"client_port": 22}, "client_port 22 is used by SSH; choose another"),
        ({"client_port": 8404}, "8404 is used by the statistics page"),
        ({"client_port": 8081}, "8081 is used by the application's health checks"),
        ({"client_port": 9001, "app_port": 22}, "app_port 22 is used by SSH"),
        ({"client_port": 80}, "port 80 is outside 1024-65535, the range that the"),
        ({"client_port": 9001, "app_port": 80}, "app_port 80 is outside 1024-65535, "),
        ({"client_port": 9001, "nodes": ["app-9"]}, 'no application node "app-9"'),
        ({"client_port": 9001, "max_connections": 90_000}, "max_connections 90000"),
        (
            {"client_port": 9001, "ordered": True, "balance": "source"},
            "remove balance or ordered",
        ),
        ({"client_port": 9001, "allow": ["::/0"]}, "add an IPv4 network"),
        ({"client_port": 9001, "enabled": False}, "every client is disabled"),
        ({"client_port": 9001, "client_name": "Stats"}, "rename it"),
    ],
)
def test_each_mistake_of_a_client_is_named(
    entry: dict[str, Any], expected: str
) -> None:
    assert expected in refusal({"client_name": "one", **entry})


@pytest.mark.parametrize("change", [{"mode": "http"}, {"send_proxy": True}])
def test_clients_that_share_a_port_of_the_application_must_agree(
    change: dict[str, Any],
) -> None:
    one = {"client_name": "one", "client_port": 7000}
    two = {"client_name": "two", "client_port": 9002, "app_port": 7000, **change}
    said = refusal(one, two)
    assert said.startswith("clients.json: two: port 7000 of the application is also ")
    assert f"one's, with another {next(iter(change))}" in said
    cluster({**one, "nodes": ["app-1"]}, {**two, "nodes": ["app-2"]})
    cluster(one, {**two, "enabled": False})
    cluster(one | change, two)


def test_reserved_ports_of_the_settings_are_refused() -> None:
    with pytest.raises(PortwayError, match="9100 is used by reserved_ports"):
        build_cluster(
            stack(),
            settings(reserved_ports=[9100]),
            clients({"client_name": "one", "client_port": 9100}),
        )


def test_priorities_that_cannot_work_are_refused() -> None:
    with pytest.raises(PortwayError, match="check_weight -1 cannot move the address"):
        build_cluster(stack(), settings(check_weight=-1), clients())


def test_address_held_by_a_stranger_is_refused() -> None:
    message = refusal(virtual_address=elastic_ip("eni-stranger"))
    assert "address 203.0.113.9: points to eni-stranger" in message
    assert "move it away from there first" in message


def test_routes_that_lead_to_strangers_are_each_named() -> None:
    own = stack().nodes[0].interface_id
    holders = (own, "eni-stranger", "eni-other", "eni-stranger")
    held = VirtualAddress(
        AddressKind.ROUTE,
        "10.255.0.1",
        tuple(AddressObject(f"rtb-{n}", holder) for n, holder in enumerate(holders)),
    )
    message = refusal(virtual_address=held)
    assert message.count("points to eni-stranger") == 1
    assert message.count("points to eni-other") == 1
    assert own not in message


def test_address_that_leads_to_both_or_to_nobody_has_the_master_as_holder() -> None:
    first, second = (n.interface_id for n in stack().nodes[:2])
    for holders in ((first, second), (None, None), (second, None)):
        places = tuple(
            AddressObject(f"rtb-{n}", holder) for n, holder in enumerate(holders)
        )
        held = VirtualAddress(AddressKind.ELASTIC_IP, "203.0.113.9", places)
        found = build_cluster(stack(virtual_address=held), settings(), clients())
        assert held.holder is None
        assert [lb.holds_address for lb in found.load_balancers] == [False, True]
        assert found.load_balancers[1].is_master


def test_private_address_needs_both_load_balancers_in_its_subnet() -> None:
    address = VirtualAddress(
        AddressKind.PRIVATE, "10.60.0.250", (AddressObject("subnet-1"),)
    )
    first, second, *others = stack().nodes
    apart = (first, replace(second, subnet_id="subnet-2"), *others)
    message = refusal(virtual_address=address, nodes=apart)
    assert "lb-2: is in subnet-2" in message
    assert "10.60.0.250 cannot leave subnet-1" in message
    assert "LoadBalancerSubnets=one" in message
    assert "lb-1: stands" not in message
    build_cluster(stack(virtual_address=address), settings(), clients())


def test_route_needs_load_balancers_without_source_check() -> None:
    address = VirtualAddress(AddressKind.ROUTE, "10.255.0.1", (AddressObject("rtb-1"),))
    first, second, *others = stack().nodes
    open_ = replace(first, source_dest_check=False)
    message = refusal(virtual_address=address, nodes=(open_, second, *others))
    assert "lb-2: has its source/destination check on" in message
    assert f"--no-source-dest-check --instance-id {second.instance_id}" in message
    assert "lb-1" not in message


@pytest.mark.parametrize("names", [(), ("lb-1", "lb-2", "lb-3")])
def test_more_than_a_pair_and_none_are_refused(names: tuple[str, ...]) -> None:
    balancers = tuple(
        node(name, Role.LOAD_BALANCER, n) for n, name in enumerate(names, 1)
    )
    nodes = (*balancers, *stack().with_role(Role.APPLICATION))
    assert f"but has {len(names)}" in refusal(nodes=nodes)


@pytest.mark.parametrize("lost", ["lb-1", "lb-2"])
def test_one_of_a_pair_is_master_and_holder_until_there_is_another(lost: str) -> None:
    left = tuple(member for member in stack().nodes if member.name != lost)
    (alone,) = build_cluster(stack(nodes=left), settings(), clients()).load_balancers
    assert alone.peer is None
    assert alone.is_master
    assert alone.holds_address
    assert (alone.stay_weight, alone.claim_weight > 0) == (0, True)


def test_no_application_nodes_are_refused() -> None:
    nodes = stack().with_role(Role.LOAD_BALANCER)
    assert "no running application node" in refusal(nodes=nodes)


def test_all_problems_are_told_at_once() -> None:
    message = refusal(
        {"client_name": "a", "client_port": 22},
        {"client_name": "b", "client_port": 9001, "nodes": ["app-9"]},
        nodes=stack().with_role(Role.APPLICATION),
        ports=Ports(1, 65535, 8081, 8404),
    )
    assert message.startswith("3 problems; nothing was touched:")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, 'group_data: "clients_file" is missing'),
        ({"clients_file": "c", "idle_timout": 5}, 'did you mean "idle_timeout"?'),
        ({"clients_file": "c", "idle_timeout": "5"}, "idle_timeout: must be a whole"),
        ({"clients_file": "c", "threads": 0}, "threads: 0 is too small"),
        ({"clients_file": "c", "health_path": "/a b"}, "health_path: "),
    ],
)
def test_each_mistake_in_the_settings_is_named(
    data: dict[str, Any], expected: str
) -> None:
    with pytest.raises(PortwayError) as error:
        settings_from(data)
    assert expected in str(error.value)


def test_connection_settings_are_left_to_pyinfra() -> None:
    assert settings_from({"clients_file": "c", "ssh_user": "admin"}).threads == 2


def test_problems_of_the_file_and_of_the_stack_are_told_together() -> None:
    text = """{"clients": [
        {"client_name": "a", "client_port": "one"},
        {"client_name": "b", "client_port": 22}
    ]}"""
    with pytest.raises(PortwayError) as error:
        build_cluster(stack(), settings(), parse_clients(text, "clients.json"))
    assert "clients[" not in str(error.value)
    assert "a: client_port: must be a whole number" in str(error.value)
    assert "b: client_port 22 is used by SSH" in str(error.value)


def test_allow_list_may_mix_kinds_of_networks() -> None:
    entry = {"client_name": "a", "client_port": 9001, "allow": ["::/0", "192.0.2.0/24"]}
    (frontend,) = cluster(entry).frontends
    assert len(frontend.allow) == 2


def test_statistics_are_for_operators_and_the_pair_and_whom_settings_name() -> None:
    saved = stack(operator_networks=("10.8.0.0/16",))
    found = build_cluster(saved, settings(stats_allow=["192.0.2.0/24"]), clients())
    assert found.statistics_networks == (
        "10.60.0.5",
        "10.60.0.6",
        "10.8.0.0/16",
        "192.0.2.0/24",
    )
