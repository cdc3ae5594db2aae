"""Wrong input: refused by name, no file changed on any node, traffic flows."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.lab.system import PROJECT, System, output

MISTAKES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"client_name": "twice", "client_port": 9001}, ""),
    ({"client_name": "twice", "client_port": 9002}, "name twice is already"),
    ({"client_name": "second", "client_port": 9001}, "second: port 9001"),
    ({"client_name": "high", "client_port": 70000}, "high: client_port: 70000"),
    ({"client_name": "ssh", "client_port": 22}, "ssh: client_port 22 is used by SSH"),
    ({"client_name": "statistics", "client_port": 8404}, "statistics: client_port"),
    ({"client_name": "check", "client_port": 8081}, "check: client_port 8081"),
    (
        {"client_name": "closed", "client_port": 30000},
        "closed: client_port 30000 is",
    ),
    ({"client_name": "a b", "client_port": 9003}, '"a b" cannot be a name'),
    ({"client_name": "a\n bind :1", "client_port": 9004}, 'bind :1" cannot be a name'),
    (
        {"client_name": "cidr", "client_port": 9005, "allow": ["10.0.0.300/8"]},
        "allow.0",
    ),
    ({"client_name": "key", "client_port": 9006, "alow": []}, 'did you mean "allow"?'),
    ({"client_name": "node", "client_port": 9007, "nodes": ["app-9"]}, '"app-9"'),
    ({"client_name": "text", "client_port": "nine"}, "text: client_port: must be"),
)
"""Entries of a clients file, and what is said of each."""


def assert_refused(
    deployed: System, expected: str, *options: str, project: Path = PROJECT
) -> str:
    before = deployed.file_states()
    result = deployed.deploy("-y", *options, project=project, check=False)
    text = output(result)
    assert result.returncode != 0, text
    assert expected in text
    assert "Traceback" not in text
    assert deployed.file_states() == before
    assert deployed.ask(9001).startswith("app-")
    return text


def test_every_mistake_in_the_clients_file_is_told_at_once(
    settled: System, clients_file: Path
) -> None:
    entries = [entry for entry, _ in MISTAKES]
    clients_file.write_text(json.dumps({"clients": entries}))
    text = assert_refused(
        settled,
        "problems; nothing was touched",
        *("--data", f"clients_file={clients_file}"),
    )
    assert [said for _, said in MISTAKES if said not in text] == []


def test_clients_file_without_clients(settled: System, clients_file: Path) -> None:
    clients_file.write_text('{"clients": []}')
    assert_refused(
        settled, "is an empty list", "--data", f"clients_file={clients_file}"
    )


def test_clients_file_that_is_not_json(settled: System, clients_file: Path) -> None:
    clients_file.write_text('{"clients": [')
    assert_refused(
        settled, "is not valid JSON", "--data", f"clients_file={clients_file}"
    )


def test_port_that_another_program_listens_on(
    settled: System, clients_file: Path
) -> None:
    code = 'import socket,time;s=socket.create_server((\\"\\",9055));time.sleep(600)'
    settled.node(
        "lb-2",
        f'systemd-run --unit=squatter --collect python3 -c "{code}"; '
        "until ss -Hltn | grep -q :9055; do sleep 0.1; done",
    )
    clients_file.write_text(
        json.dumps({"clients": [{"client_name": "late", "client_port": 9055}]})
    )
    try:
        assert_refused(
            settled,
            "late: port 9055 is used by python3",
            "--data",
            f"clients_file={clients_file}",
        )
    finally:
        settled.node("lb-2", "systemctl stop squatter")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project whose templates may be broken."""
    target = tmp_path / "copy"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", "__pycache__", "tests"
    )
    shutil.copytree(PROJECT, target, ignore=ignored)
    return target


def edit(copy: Path, template: str, old: str, new: str) -> None:
    path = copy / "templates" / template
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_template_with_an_undefined_variable(settled: System, copy: Path) -> None:
    edit(copy, "haproxy.cfg.j2", "{{ frontend.port }}", "{{ frontend.prot }}")
    text = assert_refused(settled, "templates/haproxy.cfg.j2: line", project=copy)
    assert "prot" in text


def test_template_that_haproxy_refuses(settled: System, copy: Path) -> None:
    edit(copy, "haproxy.cfg.j2", "option redispatch", "option redispetch")
    text = assert_refused(settled, "the program that reads it rejects it", project=copy)
    assert "redispetch" in text


def test_template_that_keepalived_refuses(settled: System, copy: Path) -> None:
    edit(copy, "keepalived.conf.j2", "virtual_router_id {{", "virtual_ruoter_id {{")
    assert_refused(
        settled,
        "/etc/keepalived/keepalived.conf: the program that reads it rejects it",
        project=copy,
    )


def test_limit_that_matches_no_node(settled: System) -> None:
    assert_refused(settled, "--limit lb-9 matches no node", "--limit", "lb-9")


@pytest.mark.parametrize("option", ["--no-wait", "--serial"])
def test_options_that_undo_the_order(settled: System, option: str) -> None:
    assert_refused(settled, f"{option} cannot be used here", option)
