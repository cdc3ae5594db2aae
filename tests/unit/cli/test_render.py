"""``portway render`` writes what a run would write, and no password."""

from pathlib import Path

import pytest

from portway.errors import PortwayError
from portway.model.build import build_cluster
from portway.model.clients import read_clients
from portway.model.stack import Role
from portway.render.load_balancer import load_balancer
from portway.render.node import node_files
from tests.unit import samples
from tests.unit.cli.project import answer, call, make


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_those_of_the_cluster_byte_for_byte(project: Path) -> None:
    result = call("render", "--node", "lb-2", "--from", "saved.json", "--to", "out")
    assert result.exit_code == 0, result.output
    settings = samples.settings(threads=6)
    clients = read_clients(Path("clients.json"))
    cluster = build_cluster(samples.stack(), settings, clients)
    wanted = load_balancer(cluster, cluster.load_balancer("lb-2")).files
    written = {f for f in (project / "out").rglob("*") if f.is_file()}
    assert written == {project / "out" / file.path[1:] for file in wanted}
    for file in wanted:
        target = project / "out" / file.path[1:]
        assert target.read_bytes() == file.content.encode()
        assert f"{target.stat().st_mode & 0o777:o}" == file.mode


def test_settings_and_clients_are_those_of_now(project: Path) -> None:
    def rendered() -> str:
        call("render", "--node", "lb-1", "--from", "saved.json")
        return (project / "rendered/lb-1/etc/haproxy/haproxy.cfg").read_text()

    before = rendered()
    make(project, group_data_prod_py='clients_file = "clients.json"\nthreads = 9\n')
    changed = set(rendered().splitlines()) - set(before.splitlines())
    assert [line.strip() for line in changed] == ["nbthread 9"]


def test_file_with_a_password_is_left_out_and_named(project: Path) -> None:
    found = answer("render", "--node", "app-1", "--from", "saved.json", "--to", "out")
    left = {entry["path"]: entry["reason"] for entry in found["left_out"]}
    assert "password" in left["/etc/message-app/message-app.conf"]
    assert "database_ca_file" in left["/etc/message-app/database-ca.pem"]
    for path in left:
        assert not (project / "out" / path[1:]).exists()
    assert (project / "out/etc/message-app/listeners").exists()


def test_authorities_that_are_here_are_written(project: Path) -> None:
    (project / "ca.pem").write_text("authorities\n")
    make(project, group_data_all_py='database_ca_file = "ca.pem"\n')
    call("render", "--node", "app-1", "--from", "saved.json", "--to", "out")
    written = (project / "out/etc/message-app/database-ca.pem").read_text()
    assert written == "authorities\n"


def test_application_node_is_rendered_without_its_database() -> None:
    cluster = samples.cluster()
    with_database = node_files(cluster, "app-1", "")
    stack = samples.stack(database=None)
    without = build_cluster(stack, samples.settings(), samples.clients())
    assert node_files(without, "app-1", "") == with_database


def test_lone_load_balancer_keeps_its_part_in_the_pair() -> None:
    pair = samples.stack().with_role(Role.LOAD_BALANCER)
    others = samples.stack().with_role(Role.APPLICATION)
    alone = samples.stack(nodes=(pair[0], *others))
    cluster = build_cluster(alone, samples.settings(), samples.clients())
    found = node_files(cluster, "lb-1", None)
    assert "/etc/keepalived/keepalived.conf" in found.left_out
    with pytest.raises(PortwayError, match="no other load balancer now"):
        found.file("/etc/keepalived/keepalived.conf")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--node", "lb-9", "--from", "saved.json"), "choose one of lb-1, lb-2, app-1"),
        (("--node", "lb-1"), "Name an inventory, or a file with --from."),
        (("--from", "saved.json"), "Missing option '--node'"),
    ],
)
def test_what_cannot_be_rendered_is_told(words: tuple[str, ...], expected: str) -> None:
    result = call("render", *words)
    assert result.exit_code != 0
    assert expected in result.output + str(result.exception)


def test_what_is_rendered_is_listed_with_mode_and_hash() -> None:
    found = answer("render", "--node", "lb-1", "--from", "saved.json")
    haproxy = next(f for f in found["files"] if f["path"] == "/etc/haproxy/haproxy.cfg")
    assert (haproxy["mode"], haproxy["owner"]) == ("600", "root")
    assert len(haproxy["sha256"]) == 64
