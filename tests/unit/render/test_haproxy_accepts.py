"""Whatever the validator accepts, the real HAProxy accepts."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portway.contract.paths import HAPROXY_CONFIG, SERVER_STATES
from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.clients import parse_clients
from portway.render.load_balancer import load_balancer
from tests.unit.samples import settings, stack

NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
    st.text(max_size=20),
)
NETWORKS = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=4).map(lambda a: f"{a}/32"),
    st.integers(0, 32).map(lambda n: f"0.0.0.0/{n}"),
    st.text(max_size=12),
)
ENTRIES = st.fixed_dictionaries(
    {"client_name": NAMES, "client_port": st.integers(1, 65535)},
    optional={
        "mode": st.sampled_from(["tcp", "http"]),
        "app_port": st.integers(1, 65535),
        "allow": st.lists(NETWORKS, min_size=1, max_size=70),
        "max_connections": st.integers(1, 8_000),
        "balance": st.sampled_from(
            ["leastconn", "roundrobin", "static-rr", "source", "random"]
        ),
        "nodes": st.lists(st.sampled_from(["app-1", "app-2", "gone-1"]), min_size=1),
        "ordered": st.booleans(),
        "idle_timeout": st.integers(1, 2_147_483),
        "send_proxy": st.booleans(),
        "enabled": st.booleans(),
        "description": st.text(max_size=200),
    },
)


def haproxy_check(config: str, folder: Path) -> subprocess.CompletedProcess[str]:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    assert haproxy, "the haproxy package is needed: apt-get install haproxy"
    path, states = folder / "haproxy.cfg", folder / "states"
    path.write_text(config.replace(str(SERVER_STATES), str(states)))
    states.write_text("1\n")  # as the unit writes it
    return subprocess.run(
        [haproxy, "-c", "-f", str(path)], capture_output=True, text=True, check=False
    )


def rendered(document: dict[str, Any]) -> str:
    clients = parse_clients(json.dumps(document), "clients.json")
    cluster = build_cluster(stack(names=("gone-1",)), settings(), clients)
    wanted = load_balancer(cluster, cluster.load_balancers[0])
    return wanted.file(str(HAPROXY_CONFIG)).content


@hypothesis_settings(max_examples=150)
@given(entries=st.lists(ENTRIES, min_size=1, max_size=8))
def test_accepted_clients_are_accepted_by_haproxy(
    entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    accepted: list[dict[str, Any]] = []
    for entry in entries:  # keep those that may stand beside the earlier ones
        try:
            rendered({"clients": [*accepted, {**entry, "enabled": True}]})
        except PortwayError:
            continue
        accepted.append(entry)
    if not any(entry.get("enabled", True) for entry in accepted):
        return
    result = haproxy_check(rendered({"clients": accepted}), tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[WARNING]" not in result.stderr
    assert "[ALERT]" not in result.stderr


@pytest.mark.parametrize(
    "text", ["it's", "''", "a\\", '"', "# $HOME ${HOME} %[src]", "\\'", "'\\''"]
)
def test_descriptions_are_taken_as_they_are(text: str, tmp_path: Path) -> None:
    entry = {"client_name": "one", "client_port": 9001, "description": text}
    result = haproxy_check(rendered({"clients": [entry]}), tmp_path)
    assert result.returncode == 0, result.stderr


def test_the_check_fails_on_a_name_that_haproxy_cannot_take(tmp_path: Path) -> None:
    config = rendered({"clients": [{"client_name": "one", "client_port": 9001}]})
    broken = config.replace("frontend one", "frontend one$")
    assert broken != config
    assert haproxy_check(broken, tmp_path).returncode != 0


@pytest.mark.parametrize("count", [51, 1_000])
def test_many_clients_are_accepted(count: int, tmp_path: Path) -> None:
    entries = [
        {"client_name": f"client-{n}", "client_port": 10_000 + n} for n in range(count)
    ]
    assert haproxy_check(rendered({"clients": entries}), tmp_path).returncode == 0
