"""The way to a node: a command, a jump host, and what ``~/.ssh/config`` says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.database.ssh_server import RunningNode, running_node
from tests.integration.run.test_connecting import connect

ELSEWHERE = "192.0.2.77"
"""Nobody has this address, so who is connected came on the way that is tested."""
INSTANCE = f"i-{1:017x}"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node that is known at an address where it cannot be reached."""
    with running_node(tmp_path / "home", 1) as running:
        known = running.folder / ".ssh" / "known_hosts"
        known.write_text(known.read_text().replace("127.0.0.1", ELSEWHERE))
        yield running


@pytest.fixture
def bastion(tmp_path: Path, node: RunningNode) -> Iterator[RunningNode]:
    """A real SSH server that reaches the node."""
    with running_node(tmp_path / "bastion", node.port) as running:
        yield running


def configure(node: RunningNode, text: str, bastion: RunningNode | None = None) -> str:
    """Write an ssh_config; what a run is told to read it."""
    path = node.folder / ".ssh" / "config"
    if bastion:
        ssh = bastion.folder / ".ssh"
        text += (
            f"\nHost jump\n  HostName 127.0.0.1\n  Port {bastion.port}\n  User admin\n"
            f"  IdentityFile {ssh / 'id_ecdsa'}\n"
            f"  UserKnownHostsFile {ssh / 'known_hosts'}\n"
        )
    path.write_text(text)
    return f"ssh_config_file={path}"


def relay(node: RunningNode) -> str:
    """A command that stands in for a tunnel of AWS's."""
    return f"socat - TCP:127.0.0.1:{node.port}"


def test_tunnel_command_leads_to_the_instance(
    node: RunningNode, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    command = f"sh -c 'echo {{instance_id}} {{region}} $AWS_REGION >{noted}; "
    command += f"exec {relay(node)}'"
    status, text = connect(node, f"tunnel_command={command}", address=ELSEWHERE)
    assert status == 0, text
    assert noted.read_text() == f"{INSTANCE} eu-central-1 eu-central-1\n"


@pytest.mark.parametrize("pattern", ["lb-1", INSTANCE, "192.0.2.*"])
def test_host_lines_match_name_instance_and_address(
    pattern: str, node: RunningNode
) -> None:
    given = configure(node, f"Host {pattern}\n  ProxyCommand {relay(node)}\n")
    status, text = connect(node, given, address=ELSEWHERE)
    assert status == 0, text


def test_token_is_what_the_host_line_matched(node: RunningNode, tmp_path: Path) -> None:
    """As AWS's documentation has it: ``--instance-id %h``."""
    noted = tmp_path / "noted"
    command = f"sh -c 'echo %h >{noted}; exec {relay(node)}'"
    given = configure(node, f"Host i-*\n  ProxyCommand {command}\n")
    status, text = connect(node, given, address=ELSEWHERE)
    assert status == 0, text
    assert noted.read_text() == f"{INSTANCE}\n"


def test_jump_host_leads_to_the_node(node: RunningNode, bastion: RunningNode) -> None:
    given = configure(node, "Host lb-1\n  ProxyJump jump\n", bastion)
    status, text = connect(node, given, address=ELSEWHERE)
    assert status == 0, text
    assert bastion.server.asked == [(ELSEWHERE, node.port)]


def configure_chain(
    node: RunningNode, bastion: RunningNode, first: RunningNode, lines: str
) -> str:
    """Let lines of the user's file lead through ``first`` and then ``jump``."""
    ssh = first.folder / ".ssh"
    text = (
        f"Host first\n  HostName 127.0.0.1\n  Port {first.port}\n  User admin\n"
        f"  IdentityFile {ssh / 'id_ecdsa'}\n  StrictHostKeyChecking accept-new\n"
        f"  UserKnownHostsFile {ssh / 'known_hosts'}\n"
    )
    return configure(node, text + lines, bastion)


NAMED = "Host lb-1\n  ProxyJump first,jump\n"
NESTED = "Host lb-1\n  ProxyJump jump\nHost jump\n  ProxyJump first\n"


@pytest.mark.parametrize("lines", [NAMED, NESTED])
def test_every_jump_host_is_checked_as_strictly_as_the_node(
    lines: str, node: RunningNode, bastion: RunningNode, tmp_path: Path
) -> None:
    """Whatever the user's file says of one that is not the last."""
    with running_node(tmp_path / "first", bastion.port) as first:
        known = first.folder / ".ssh" / "known_hosts"
        known.write_text("")
        given = configure_chain(node, bastion, first, lines)
        status, text = connect(node, given, address=ELSEWHERE)
    assert status != 0
    assert "Host key verification failed" in text
    assert known.read_text() == ""
    assert first.server.asked == []


def test_chain_of_jump_hosts_leads_to_the_node(
    node: RunningNode, bastion: RunningNode, tmp_path: Path
) -> None:
    with running_node(tmp_path / "first", bastion.port) as first:
        given = configure_chain(node, bastion, first, NESTED)
        status, text = connect(node, given, address=ELSEWHERE)
    assert status == 0, text
    assert first.server.asked == [("127.0.0.1", bastion.port)]


def test_file_that_cannot_be_read_is_told_in_one_sentence(node: RunningNode) -> None:
    given = configure(node, "Host lb-1\n  Nonsense\n")
    status, text = connect(node, given, address=ELSEWHERE)
    assert status != 0
    assert f"{node.folder}/.ssh/config cannot be read: Unparsable line Nonsense" in text
    assert "ssh -G lb-1 says what is wrong with it" in text
    assert "Traceback" not in text


def test_unknown_jump_host_is_refused_and_nobody_is_asked(
    node: RunningNode, bastion: RunningNode
) -> None:
    (bastion.folder / ".ssh" / "known_hosts").write_text("")
    given = configure(node, "Host lb-1\n  ProxyJump jump\n", bastion)
    status, text = connect(node, given, address=ELSEWHERE)
    assert status != 0
    assert "Host key verification failed" in text
    assert "connect to each jump host yourself first, with ssh" in text
    assert "through the command: ssh " in text
    assert "Traceback" not in text
    assert bastion.server.asked == []


@pytest.mark.parametrize("option", ["ProxyJump none", "ProxyCommand none"])
def test_none_means_a_direct_connection(option: str, node: RunningNode) -> None:
    known = node.folder / ".ssh" / "known_hosts"
    known.write_text(known.read_text().replace(ELSEWHERE, "127.0.0.1"))
    given = configure(node, f"Host *\n  {option}\n")
    status, text = connect(node, given)
    assert status == 0, text


def test_command_that_fails_is_told_with_what_it_said(node: RunningNode) -> None:
    command = "tunnel_command=sh -c 'echo no such endpoint >&2; exit 1'"
    status, text = connect(node, command, address=ELSEWHERE)
    assert status != 0
    assert "no such endpoint" in text
    assert "[lb-1]" in text


def test_unknown_name_in_the_command_is_refused(node: RunningNode) -> None:
    status, text = connect(node, "tunnel_command=tunnel {instance}", address=ELSEWHERE)
    assert status != 0
    assert "tunnel_command has an unknown name in braces" in text
    assert "{instance_id}" in text
