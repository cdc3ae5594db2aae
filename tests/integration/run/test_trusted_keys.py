"""Which host keys a run trusts, with ``known_hosts`` files as people have them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.database.ssh_server import RunningNode, running_node
from tests.integration.run.test_connecting import connect
from tests.unit.model.test_host_keys import key

OTHER = f"ssh-ed25519 {key(9).data}"
NODE = f"lb-1 (i-{1:017x}, [127.0.0.1]:"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("operator") / "home", 1) as found:
        yield found


@pytest.fixture
def known(running: RunningNode) -> Iterator[Path]:
    """The file, whose only line has the node's own key."""
    file = running.folder / ".ssh" / "known_hosts"
    text = file.read_text()
    yield file
    file.write_text(text)


def key_of(known: Path) -> str:
    return known.read_text().split(" ", 1)[1]


def test_no_line_hides_the_one_that_counts(running: RunningNode, known: Path) -> None:
    before = (
        f"@cert-authority *.example.com {OTHER}",
        f"@revoked * {OTHER}",
        "old.example.com 1024 35 123456789",
        "cut.example.com ssh-ed25519 AAAA",
    )
    own = f"[127.0.*]:{running.port},!*.2 {key_of(known)}"
    known.write_text("\n".join((*before, own)))
    status, text = connect(running)
    assert status == 0, text


def test_revoked_key_is_refused_in_one_sentence(
    running: RunningNode, known: Path
) -> None:
    known.write_text(f"{known.read_text()}@revoked * {key_of(known)}")
    status, text = connect(running)
    assert status != 0
    assert f"no SSH host key is known for {NODE}" in text
    assert f"line 1 of {known} has its key, which a line with @revoked takes" in text
    assert "Traceback" not in text


def test_revoked_key_is_refused_also_where_any_key_would_do(
    running: RunningNode, known: Path
) -> None:
    known.write_text(f"@revoked * {key_of(known)}")
    running.server.commands.clear()
    status, text = connect(running, "ssh_strict_host_key_checking=no")
    assert status != 0
    assert "its SSH host key is revoked in known_hosts" in text
    assert running.server.commands == []


def test_certificates_alone_are_refused_in_one_sentence(
    running: RunningNode, known: Path
) -> None:
    known.write_text(f"# ours\n@cert-authority [127.*]:* {key_of(known)}")
    status, text = connect(running)
    assert status != 0
    assert f"no SSH host key is known for {NODE}" in text
    assert f"line 2 of {known} has @cert-authority: its certificates count for" in text
    assert "Traceback" not in text
