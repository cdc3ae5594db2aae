"""``portway trust``, against an account whose consoles show host keys."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portway.model.host_keys import HostKey
from tests.integration.aws.test_console import shows
from tests.integration.aws_server import AwsServer
from tests.integration.conftest import STACK, Account
from tests.unit.model.test_host_keys import console, key

PROJECT = Path(__file__).parents[3]


class Consoles:
    """What every instance has on its console; its key depends on its id."""

    def __init__(self, aws: AwsServer, nodes: dict[str, str]) -> None:
        self.nodes = nodes
        self.silent: set[str] = set()
        aws.edit("ec2:GetConsoleOutput", self._answer)

    def _answer(self, answer: str) -> str:
        found = re.search(r"<instanceId>(.*?)</instanceId>", answer)
        assert found
        keys = () if found[1] in self.silent else (self.key(found[1]),)
        return shows(console(*keys))(answer)

    @staticmethod
    def key(instance_id: str) -> HostKey:
        return key(sum(map(ord, instance_id)) % 251)


@pytest.fixture
def consoles(aws: AwsServer, stack: Account) -> Consoles:
    found = [*stack.instances("load-balancer"), *stack.instances("application")]
    return Consoles(aws, {i["PrivateIpAddress"]: i["InstanceId"] for i in found})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".ssh" / "known_hosts"


def trust(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (
            sys.executable,
            "-m",
            "portway.cli.main",
            "trust",
            "inventories/prod.py",
            *options,
        ),
        cwd=PROJECT,
        env={**os.environ, "PORTWAY_STACK": STACK, "HOME": str(file.parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def line(address: str, instance: str, recorded: HostKey) -> str:
    return f"{address} {recorded.kind} {recorded.data} portway/{STACK}/{instance}"


def test_every_node_is_recorded_once(consoles: Consoles, file: Path) -> None:
    would = trust(file, "--dry")
    assert f"would be recorded in {file}" in would.stdout
    assert not file.exists()
    done = trust(file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(file.read_text().splitlines()) == sorted(
        line(address, instance, consoles.key(instance))
        for address, instance in consoles.nodes.items()
    )
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.stat()
    again = trust(file)
    assert again.stdout.count(": known\n") == len(consoles.nodes)
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_each_kind_of_stranger_at_an_address_is_told(
    consoles: Consoles, file: Path
) -> None:
    """An instance that is gone, an unknown one, one of another stack, and itself."""
    file.parent.mkdir()
    (a, gone), (b, by_hand), (c, elsewhere), (d, changed) = list(
        consoles.nodes.items()
    )[:4]
    kept = (
        line(c, "i-9", key(252)).replace(STACK, "staging"),
        line(d, changed, key(253)),
    )
    before = [line(a, "i-8", key(254)), f"{b} ssh-ed25519 {key(255).data}", *kept]
    file.write_text("\n".join(before) + "\n")
    done = trust(file)
    assert done.returncode == 1
    assert f"in place of {key(254)}, which was i-8" in done.stdout
    assert f"in place of {key(255)}, which was recorded without" in done.stdout
    assert "has that address for i-9 of stack staging" in done.stdout
    assert "its console shows another key than" in done.stdout
    after = file.read_text().splitlines()
    assert {line(a, gone, consoles.key(gone)), *kept} < set(after)
    assert line(b, by_hand, consoles.key(by_hand)) in after
    assert not {line(c, elsewhere, consoles.key(elsewhere)), *before[:2]} & set(after)


def test_console_without_keys_is_told_with_the_way_out(
    consoles: Consoles, file: Path
) -> None:
    address, instance = next(iter(consoles.nodes.items()))
    consoles.silent.add(instance)
    done = trust(file)
    assert done.returncode == 1
    assert f"{instance}, {address}): its console shows no host keys" in done.stdout
    assert f'add "{address} ssh-ed25519 AAAA…" to {file}' in done.stdout
    assert len(file.read_text().splitlines()) == len(consoles.nodes) - 1
    recorded = f"{address} ssh-ed25519 {key(7).data}\n"
    file.write_text(file.read_text() + recorded)
    assert trust(file).returncode == 0
    assert file.read_text().endswith(recorded)


def test_file_that_ssh_config_names_is_used(consoles: Consoles, file: Path) -> None:
    file.parent.mkdir()
    other = file.with_name("portway")
    (file.parent / "config").write_text(f"Host 10.60.*\n  UserKnownHostsFile {other}\n")
    trust(file)
    assert len(other.read_text().splitlines()) == len(consoles.nodes)
    assert not file.exists()
