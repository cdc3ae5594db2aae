"""Rendering: deterministic, whole, and refused with the line when a template is bad."""

import difflib
import re
from pathlib import Path

import pytest

from portway.contract.mover import MoverConfig
from portway.contract.paths import (
    HAPROXY_CONFIG,
    KEEPALIVED_CONFIG,
    SYSCTL_CONFIG,
)
from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.render import templates
from portway.render.address_mover import ADDRESS_MOVER, address_paths
from portway.render.load_balancer import (
    NO_PEER,
    RETRIES,
    load_balancer,
    load_balancer_survey,
    without_pair,
)
from tests.unit.samples import clients, cluster, settings, stack

ENTRIES = [
    {"client_name": f"client_{n}", "client_port": 9000 + 10 * n} for n in range(1, 6)
]


def haproxy(*entries: dict[str, object], app_nodes: int = 2) -> str:
    found = cluster(*entries, app_nodes=app_nodes)
    return (
        load_balancer(found, found.load_balancers[0]).file(str(HAPROXY_CONFIG)).content
    )


def changed_lines(old: str, new: str) -> list[str]:
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [line for line in lines if line[0] in "+-" and line[2:].strip()]


def test_new_client_changes_only_its_own_lines() -> None:
    new = {"client_name": "late", "client_port": 9025}
    changes = changed_lines(haproxy(*ENTRIES), haproxy(new, *ENTRIES))
    assert changes == [
        "+ frontend late",
        "+     mode tcp",
        "+     bind :9025 tcp-ut 60s",
        "+     default_backend tcp_leastconn",
    ]


def test_new_node_changes_only_its_own_lines() -> None:
    changes = changed_lines(haproxy(*ENTRIES), haproxy(*ENTRIES, app_nodes=3))
    assert changes == ["+     server app-3 10.60.0.17"]


def test_order_of_the_file_does_not_matter() -> None:
    assert haproxy(*ENTRIES) == haproxy(*reversed(ENTRIES))


def test_files_of_a_pair_mirror_each_other() -> None:
    found = cluster()
    texts = [
        load_balancer(found, lb).file(str(KEEPALIVED_CONFIG)).content
        for lb in found.load_balancers
    ]
    mirror = {
        "lb-1": "lb-2",
        "lb-2": "lb-1",
        "10.60.0.5": "10.60.0.6",
        "10.60.0.6": "10.60.0.5",
        "priority 150": "priority 151",
        "priority 151": "priority 150",
    }
    words = re.compile("|".join(mirror))
    assert words.sub(lambda found: mirror[found[0]], texts[0]) == texts[1]


def test_load_balancer_without_a_peer_has_its_part_only_if_it_needs_one() -> None:
    """One that is deployed keeps what it has: its peer may be there after all."""
    left = tuple(member for member in stack().nodes if member.name != "lb-2")
    alone = build_cluster(stack(nodes=left), settings(), clients())
    wanted = load_balancer(alone, alone.load_balancers[0])
    assert NO_PEER in wanted.file(str(KEEPALIVED_CONFIG)).content
    config = MoverConfig.from_json(wanted.file(ADDRESS_MOVER.config).content)
    assert (config.peer, config.peer_interface_id) == ("", "")

    kept = without_pair(wanted)
    gone = {file.path for file in wanted.files} - {file.path for file in kept.files}
    assert gone == {str(KEEPALIVED_CONFIG), *address_paths()}
    assert {s.unit for s in wanted.services} - {s.unit for s in kept.services} == {
        "keepalived",
        "portway-address",
    }
    assert kept.folders == (), "nothing is a stray file"


def test_keepalived_is_never_told_nopreempt_or_a_fixed_master() -> None:
    found = cluster()
    for lb in found.load_balancers:
        text = load_balancer(found, lb).file(str(KEEPALIVED_CONFIG)).content
        assert "nopreempt" not in text
        assert "state BACKUP" in text
        assert "unicast_peer" in text


def test_order_of_an_ordered_client_s_nodes_is_kept() -> None:
    entry = {"client_name": "a", "client_port": 9001, "ordered": True}
    text = haproxy({**entry, "nodes": ["app-2", "app-1"]})
    servers = [line.split() for line in text.splitlines() if "server app" in line]
    assert [words[1] for words in servers] == ["app-2", "app-1"]
    other = haproxy({**entry, "nodes": ["app-1", "app-2"]})
    assert backend_names(text) != backend_names(other)


def backend_names(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("backend ")]


def test_statistics_are_bound_to_the_node_s_own_address() -> None:
    assert "bind 10.60.0.6:8404" in haproxy(*ENTRIES)
    assert ":8404" not in haproxy(*ENTRIES).replace("10.60.0.6:8404", "")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a\n{{ nonsense }}\n", "line 2: 'nonsense' is undefined"),
        ("{% for x in y %}\n", "line 1: "),
        ("{{ cluster.nonsense }}\n", "line 1: "),
    ],
)
def test_broken_template_is_named_with_its_line(
    template: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "haproxy.cfg.j2").write_text(template)
    monkeypatch.setattr(templates, "TEMPLATES", tmp_path)
    templates._environment.cache_clear()
    try:
        with pytest.raises(PortwayError) as error:
            templates.render("haproxy.cfg.j2", cluster=cluster())
    finally:
        templates._environment.cache_clear()
    assert str(error.value).startswith(f"templates/haproxy.cfg.j2: {expected}")


def test_every_file_ends_with_a_newline() -> None:
    found = cluster()
    wanted = load_balancer(found, found.load_balancers[0])
    assert all(file.content.endswith("\n") for file in wanted.files)


def test_survey_of_a_load_balancer_is_known_before_it_is_rendered() -> None:
    found = cluster(*ENTRIES)
    for lb in found.load_balancers:
        assert load_balancer(found, lb).survey == load_balancer_survey()


def test_dead_peers_are_found_within_two_minutes_by_whatever_was_sent() -> None:
    text = haproxy(*ENTRIES)

    def seconds(word: str) -> set[int]:
        return {int(found) for found in re.findall(rf"{word} (\d+)s", text)}

    unacknowledged = {"cli": max(seconds("tcp-ut")), "srv": 0.21 * (2 ** (7 + 1) - 1)}
    for side, longest in unacknowledged.items():
        (idle,) = seconds(f"{side}tcpka-idle")
        (interval,) = seconds(f"{side}tcpka-intvl")
        (count,) = map(int, re.findall(rf"{side}tcpka-cnt (\d+)", text))
        # At worst data is sent just before keepalives would have found it.
        assert idle + interval * count + longest <= 120
    binds = re.findall(r"bind :.*", text)
    assert binds
    assert all(" tcp-ut " in bind for bind in binds)
    found = cluster(*ENTRIES)
    wanted = load_balancer(found, found.load_balancers[0])
    assert wanted.sysctls[RETRIES] == "7"
    assert f"{RETRIES} = 7\n" in wanted.file(str(SYSCTL_CONFIG)).content
