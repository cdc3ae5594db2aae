"""What decides a line is found by changing it, so it is what a change would change."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.clients import Clients, parse_clients
from portway.model.stack import Stack
from portway.render.node import node_files
from portway.render.provenance import provenance
from portway.render.variation import Wish
from tests.unit import samples

HAPROXY = "/etc/haproxy/haproxy.cfg"
KEEPALIVED = "/etc/keepalived/keepalived.conf"
CLIENTS = samples.clients(
    {"client_name": "one", "client_port": 9001},
    {"client_name": "two", "client_port": 9002, "idle_timeout": 60},
    {"client_name": "three", "client_port": 9003},
)


def wish(
    clients: Clients = CLIENTS, stack: Stack | None = None, **settings: Any
) -> Wish:
    return Wish(stack or samples.stack(), samples.settings(**settings), clients)


def lines(of: Wish, path: str, node: str = "lb-1") -> list[str]:
    cluster = build_cluster(of.stack, of.settings, of.clients)
    return node_files(cluster, node, "").file(path).content.splitlines()


def deciding(
    of: Wish, path: str, text: str, section: str = "", node: str = "lb-1"
) -> Any:
    """What decides the first line with this text, after that of the section."""
    found = lines(of, path, node)
    start = found.index(section) if section else 0
    number = next(n for n in range(start, len(found)) if text in found[n])
    return provenance(of, node, path, number + 1)


@pytest.mark.parametrize(
    ("path", "text", "section", "expected"),
    [
        (HAPROXY, "nbthread", "", {"threads"}),
        (HAPROXY, "timeout client 86400s", "", {"idle_timeout"}),
        (HAPROXY, "bind :9002", "", {"two.client_port", "two.enabled"}),
        (HAPROXY, "timeout client 60s", "", {"two.idle_timeout", "two.enabled"}),
        (HAPROXY, "server app-1", "", {"nodes.app-1.name", "nodes.app-1.address"}),
        (HAPROXY, "bind 10.60.0.5", "", {"nodes.lb-1.address", "ports.stats"}),
        (KEEPALIVED, "10.60.0.6", "", {"nodes.lb-2.address"}),
        (KEEPALIVED, "weight -20", "", {"check_weight"}),
        (HAPROXY, "chroot", "", set()),
    ],
)
def test_line_names_what_decides_it(
    path: str, text: str, section: str, expected: set[str]
) -> None:
    found = deciding(wish(), path, text, section)
    names = {one.name for one in found.inputs if not one.of_section}
    if text == "server app-1":  # its backend is shared by what clients need
        names = {name for name in names if name.startswith("nodes.")}
    assert names == expected


def test_constant_line_is_named_with_its_place_in_the_template() -> None:
    (place,) = deciding(wish(), HAPROXY, "chroot").templates
    assert place == "templates/haproxy.cfg.j2:5"


def test_what_decides_the_section_is_told_apart() -> None:
    found = deciding(wish(), HAPROXY, "bind :9002")
    assert {i.name for i in found.inputs if i.of_section} == {"two.client_name"}


def test_shared_backend_is_there_for_any_of_its_clients() -> None:
    found = deciding(wish(), HAPROXY, "balance leastconn", "backend tcp_leastconn")
    assert found.any_of == ("one", "three")
    assert "balance" in {one.name for one in found.inputs}


def test_setting_that_another_input_overrides_is_not_named() -> None:
    names = {i.name for i in deciding(wish(), HAPROXY, "timeout client 60s").inputs}
    assert "idle_timeout" not in names


def test_nodes_that_the_clients_file_names_are_named() -> None:
    text = (
        '{"clients": [{"client_name": "one", "client_port": 9001}], '
        '"app_nodes": [{"app_node_name": "app-1", "app_node_ip": "10.60.0.15"}]}'
    )
    of = wish(parse_clients(text, "clients.json"))
    names = {one.name for one in deciding(of, HAPROXY, "server app-1").inputs}
    assert {"app-1.app_node_name", "app-1.app_node_ip"} <= names
    assert not {name for name in names if name.startswith("nodes.app-1")}


CHANGES: tuple[tuple[str, Any], ...] = (
    ("idle_timeout", 4321),
    ("health_path", None),
    ("stats_allow", ["198.51.100.0/24"]),
    ("advert_interval", 0.9),
    ("fail_back", 0),
    ("check_weight", -40),
    ("balance", "source"),
)


@pytest.mark.parametrize(("setting", "value"), CHANGES)
def test_every_line_that_a_setting_changes_names_it(setting: str, value: Any) -> None:
    """Whatever other values it was tried with."""
    before = wish()
    after = wish(**{setting: value})
    checked = 0
    for path in (HAPROXY, KEEPALIVED, "/etc/portway/address.json"):
        old, left = lines(before, path), Counter(lines(after, path))
        for number, line in enumerate(old, start=1):
            if line.strip() and not left[line] and checked < 2:
                found = provenance(before, "lb-1", path, number)
                assert setting in {one.name for one in found.inputs}, line
                checked += 1
    assert checked


def test_many_clients_change_nothing_about_a_line() -> None:
    few = samples.clients(
        *({"client_name": f"c{n}", "client_port": 9000 + n} for n in (1, 2))
    )
    many = samples.clients(
        *({"client_name": f"c{n}", "client_port": 9000 + n} for n in range(1, 100))
    )
    for text in ("bind :9001", "option httpchk"):
        expected = deciding(wish(few), HAPROXY, text)
        found = deciding(wish(many), HAPROXY, text)
        assert found.inputs == expected.inputs
        assert len(found.any_of) == (99 if expected.any_of else 0)


def test_application_node_s_lines_are_explained_without_its_password() -> None:
    of = wish()
    unit = deciding(
        of, "/etc/systemd/system/message-app.service", "ExecStart=", node="app-1"
    )
    assert {"app_command", "app_name"} <= {one.name for one in unit.inputs}
    with pytest.raises(PortwayError, match="it has a password"):
        provenance(of, "app-1", "/etc/message-app/message-app.conf", 1)


@pytest.mark.parametrize(
    ("node", "path", "number", "expected"),
    [
        ("lb-3", HAPROXY, 1, "there is no node lb-3"),
        ("lb-1", "/etc/haproxy/haproxy.cf", 1, f"did you mean {HAPROXY}"),
        ("lb-1", HAPROXY, 9999, "lines, not 9999"),
        ("lb-1", HAPROXY, 0, "lines, not 0"),
    ],
)
def test_line_that_is_not_there_is_refused(
    node: str, path: str, number: int, expected: str
) -> None:
    with pytest.raises(PortwayError, match=expected):
        provenance(wish(), node, path, number)


def test_node_whose_name_is_tried_is_still_found() -> None:
    stack = samples.stack()
    renamed = replace(stack.nodes[0], name="proxy")
    of = wish(stack=replace(stack, nodes=(renamed, *stack.nodes[1:])))
    found = deciding(of, KEEPALIVED, "router_id proxy", node="proxy")
    assert [one.name for one in found.inputs] == ["nodes.proxy.name"]
