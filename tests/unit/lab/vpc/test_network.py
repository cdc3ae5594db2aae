"""What the lab's router is told, from what AWS says."""

import pytest

from lab.plan.facts import Outsider
from lab.vpc.network import (
    Interface,
    Lookup,
    Network,
    Route,
    Rule,
    SecurityGroup,
    VpcRoute,
    render_routes,
    table_number,
)
from lab.vpc.ruleset import render_ruleset

LB_1 = Interface(
    device="lb-1",
    address="10.0.0.5",
    public=(("10.0.0.5", "203.0.113.1"),),
    groups=("sg-aaa",),
    route_table="rtb-0000000000000000a",
)
APP_1 = Interface(
    device="app-1", address="10.0.1.5", groups=("sg-bbb",), route_table="rtb-0b"
)
BALANCERS = SecurityGroup(
    "sg-aaa",
    ingress=(
        Rule("tcp", (9000, 10999), ("0.0.0.0/0",)),
        Rule("tcp", (22, 22), ("192.0.2.130/32",)),
        Rule("112", (-1, -1), groups=("sg-aaa",)),
    ),
    egress=(Rule("-1", networks=("0.0.0.0/0",)),),
)
APPLICATIONS = SecurityGroup(
    "sg-bbb",
    ingress=(Rule("tcp", (9000, 10999), groups=("sg-aaa",)),),
    egress=(Rule("tcp", (443, 443), ("0.0.0.0/0",)),),
)


def network(
    interfaces: tuple[Interface, ...] = (LB_1, APP_1),
    routes: tuple[VpcRoute, ...] = (),
) -> Network:
    return Network(
        interfaces=interfaces,
        groups=(BALANCERS, APPLICATIONS),
        outsiders=(
            Outsider("operator", "192.0.2.130", by_internet=False),
            Outsider("customer", "198.51.100.10", by_internet=True),
        ),
        aws_addresses=("192.0.2.10", "169.254.169.254"),
        routes=routes,
    )


def chain(ruleset: str, name: str) -> list[str]:
    """The rules of one chain of a ruleset."""
    body = ruleset.split(f"\tchain {name} {{\n")[1].split("\n\t}", maxsplit=1)[0]
    return [line.strip() for line in body.splitlines()]


def test_ingress_permits_what_the_groups_say_and_drops_the_rest() -> None:
    assert chain(render_ruleset(network()), "in_lb_1") == [
        "tcp dport 9000-10999 accept",
        "ip saddr 192.0.2.130/32 tcp dport 22 accept",
        "ip saddr @sg_aaa ip protocol 112 accept",
        "drop",
    ]


def test_egress_returns_to_the_ingress_of_the_other_end() -> None:
    ruleset = render_ruleset(network())
    assert chain(ruleset, "out_lb_1") == ["return", "drop"]
    assert chain(ruleset, "out_app_1") == ["tcp dport 443 return", "drop"]


def test_group_stands_for_the_addresses_of_its_members() -> None:
    ruleset = render_ruleset(network())
    members = ruleset.split("set sg_aaa {")[1].split("}")[0]
    assert "10.0.0.5" in members
    assert "10.0.1.5" not in members


def test_interface_without_groups_is_unreachable() -> None:
    bare = Interface(device="db-1", address="10.0.0.9")
    assert chain(render_ruleset(network((bare,))), "in_db_1") == ["drop"]


def test_forwarding_is_refused_unless_allowed() -> None:
    forward = chain(render_ruleset(network()), "forward")
    assert forward[0].endswith("policy drop;")


def test_metadata_is_exempt_from_security_groups_but_not_for_outsiders() -> None:
    forward = chain(render_ruleset(network()), "forward")
    exempt = next(line for line in forward if "169.254.169.254 accept" in line)
    assert forward.index(exempt) < forward.index(
        next(line for line in forward if "jump out_" in line)
    )
    assert "customer" not in exempt
    assert "operator" not in exempt


def test_source_check_covers_all_but_those_it_is_off_for() -> None:
    free = Interface(device="lb-2", address="10.0.1.6", checked=False)
    incoming = chain(render_ruleset(network((LB_1, free))), "incoming")
    check = next(line for line in incoming if "@held drop" in line)
    assert '"lb-1"' in check
    assert '"customer"' in check
    assert '"lb-2"' not in check


def test_public_address_is_translated_both_ways() -> None:
    ruleset = render_ruleset(network())
    assert "203.0.113.1 : 10.0.0.5" in ruleset.split("map to_private")[1].split("}")[0]
    assert "10.0.0.5 : 203.0.113.1" in ruleset.split("map to_public")[1].split("}")[0]


def test_hosts_reach_each_other_by_public_addresses_as_if_from_outside() -> None:
    ruleset = render_ruleset(network())
    (to_public,) = (x for x in chain(ruleset, "incoming") if "mark set 0x2" in x)
    assert '"app-1"' in to_public
    _, by, without = chain(ruleset, "by_gateway")
    assert by == "ct mark 0x2 ip saddr set ip saddr map @to_public accept"
    assert without == "ct mark 0x2 drop", "it has no public address itself"


def test_ruleset_of_an_empty_network_has_no_empty_sets_of_devices() -> None:
    empty = Network(interfaces=(), groups=(), outsiders=(), aws_addresses=())
    assert "{  }" not in render_ruleset(empty)


def test_address_leads_only_to_its_interface() -> None:
    routes, _ = render_routes(network())
    assert Route(254, "10.0.0.5", "lb-1") in routes
    assert [r.device for r in routes if r.destination == "10.0.1.5"] == ["app-1"]


def test_secondary_address_is_delivered_to_a_host_that_does_not_know_it() -> None:
    holder = Interface(device="lb-1", address="10.0.0.5", secondary=("10.0.0.200",))
    routes, _ = render_routes(network((holder,)))
    assert Route(254, "10.0.0.200", "lb-1", via="10.0.0.5") in routes


def test_route_to_an_interface_counts_in_its_own_table_and_from_outside() -> None:
    overlay = VpcRoute("rtb-0000000000000000a", "10.99.0.10", "lb-1", "10.0.0.5")
    routes, lookups = render_routes(network(routes=(overlay,)))
    tables = {r.table for r in routes if r.destination == "10.99.0.10"}
    outside = next(x.table for x in lookups if x.device == "customer")
    assert tables == {table_number("rtb-0000000000000000a"), outside}
    assert Lookup("lb-1", table_number("rtb-0000000000000000a")) in lookups


def test_table_numbers_differ_and_avoid_the_kernels_own() -> None:
    assert table_number("rtb-0a") != table_number("rtb-0b")
    assert table_number("rtb-00") > 255


@pytest.mark.parametrize("verb", ["replace", "delete"])
def test_route_says_itself_to_ip(verb: str) -> None:
    assert Route(254, "10.0.0.200", "lb-1", "10.0.0.5").command(verb) == (
        f"route {verb} 10.0.0.200 via 10.0.0.5 onlink dev lb-1 table 254 proto static"
    )
