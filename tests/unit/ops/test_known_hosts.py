"""Where pyinfra looks for host keys, as pyinfra itself does it."""

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Inventory
from pyinfra.api.host import Host
from pyinfra.connectors.sshuserclient import SSHClient

from portway.ops.known_hosts import KnownHosts, host_keys, known_hosts
from tests.unit.model.test_host_keys import key

ADDRESS = "10.60.0.11"
RSA = key(1, "ssh-rsa")


def host(**data: Any) -> Host:
    given = {"ssh_hostname": ADDRESS, "ssh_strict_host_key_checking": "yes"} | data
    return Inventory(([("lb-1", given)], {})).get_host("lb-1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    return tmp_path / ".ssh"


@pytest.mark.parametrize(
    ("data", "config", "name", "files"),
    [
        ({}, "", ADDRESS, ["known_hosts"]),
        ({"ssh_port": 2222}, "", f"[{ADDRESS}]:2222", ["known_hosts"]),
        ({"ssh_known_hosts_file": "~/.ssh/own"}, "", ADDRESS, ["own"]),
        (
            {},
            "Host 10.60.*\n  UserKnownHostsFile ~/.ssh/a ~/.ssh/b\n  Port 23\n",
            f"[{ADDRESS}]:23",
            ["a", "b"],
        ),
        ({}, f"Host {ADDRESS}\n  HostName 10.9.9.9\n", "10.9.9.9", ["known_hosts"]),
    ],
)
def test_file_and_name_are_those_of_pyinfra(
    data: dict[str, Any], config: str, name: str, files: list[str], home: Path
) -> None:
    path = home / "config"
    path.write_text(config)
    node = host(ssh_config_file=str(path), **data)
    found = known_hosts(node)
    assert found == KnownHosts(name, tuple(home / f for f in files), True)

    hostname, cfg, *_, of_pyinfra, _, _ = SSHClient().parse_config(
        ADDRESS, ssh_config_file=str(path)
    )
    port = data.get("ssh_port", cfg["port"])
    assert name == (hostname if port == 22 else f"[{hostname}]:{port}")
    if "ssh_known_hosts_file" not in data:
        assert tuple(map(Path, of_pyinfra)) == found.files


@pytest.mark.parametrize(
    "line",
    [
        f"@cert-authority *.test ssh-ed25519 {key(1).data}",
        f"@revoked * ssh-ed25519 {key(1).data}",
        "old.test 1024 35 1234567",
        "cut.test ssh-ed25519 AAAA",
        "what is this?",
        "a.test\tssh-dss  AAAAB3NzaC1kc3M=",
    ],
)
def test_no_line_keeps_another_from_being_read(line: str, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    own = f"ssh-ed25519 {key(2).data}"
    file.write_text(f"before {own}\n{line}\nafter,10.60.*  \t{own}\tcomment\n")
    keys = host_keys((str(file), str(tmp_path / "absent")))
    for name in ("before", "after", "10.60.0.11"):
        found = keys.lookup(name)
        assert found, name
        assert found["ssh-ed25519"].get_base64() == key(2).data
    assert keys.lookup("any.test") is None


def test_key_that_any_file_revokes_is_in_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(f"a,b ssh-ed25519 {key(1).data}\na ssh-rsa {RSA.data}\n")
    second.write_text(f"@revoked * ssh-ed25519 {key(1).data}\n")
    keys = host_keys((str(first), str(second)))
    assert list(keys.lookup("a") or ()) == ["ssh-rsa"]
    assert keys.lookup("b") is None
