"""What an application node gets, and what is to be done to it."""

import subprocess
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from portway.application.pending import Pending, pending
from portway.model.build import build_cluster
from portway.model.cluster import Cluster
from portway.model.login import Login
from portway.model.releases import FoundReleases, Release
from portway.ops.differences import FoundFile, FoundNode, FoundService
from portway.render.application import Application, Inputs, application
from portway.render.templates import unit_escaped
from tests.unit.samples import clients, settings, stack

RELEASE = Release("1.0.0", "https://artifacts.test/a", "a" * 64)
PASSWORD = "very-secret"
INPUTS = Inputs(
    RELEASE, Login("application", SecretStr(PASSWORD)), "CERTIFICATE\n", None
)


def cluster_of(*entries: dict[str, Any], **changes: Any) -> Cluster:
    return build_cluster(stack(), settings(**changes), clients(*entries))


def wanted(
    *entries: dict[str, Any], inputs: Inputs = INPUTS, **changes: Any
) -> Application:
    cluster = cluster_of(*entries, **changes)
    node = next(n for n in cluster.stack.nodes if n.name == "app-1")
    return application(cluster, node, inputs)


def config(application: Application) -> str:
    return application.node.file("/etc/message-app/message-app.conf").content


def unit(application: Application) -> str:
    return application.node.file("/etc/systemd/system/message-app.service").content


def found(application: Application, **changes: Any) -> FoundNode:
    """A node that is as it should be, but for the changes to its unit."""
    service = FoundService(
        active=True,
        enabled=True,
        needs_daemon_reload=False,
        overrides=(),
        loaded_sha256=application.loaded_sha256,
    )
    return FoundNode(
        files={
            file.path: FoundFile(file.sha256, file.mode, file.owner, file.group)
            for file in application.node.files
        },
        services={"message-app": replace(service, **changes)},
    )


RELEASES = FoundReleases({"1.0.0": "a" * 64}, "1.0.0")


def todo(application: Application, node: FoundNode | None = None) -> Pending:
    return pending(application, node or found(application), RELEASES, 3, drained=False)


def test_node_that_is_as_it_should_be_has_nothing_pending() -> None:
    assert not todo(wanted())


def test_node_that_has_nothing_gets_everything() -> None:
    application = wanted()
    result = pending(application, FoundNode(), FoundReleases(), 3, drained=False)
    assert result.files == application.own_files
    assert result.fetch
    assert result.switch
    assert result.restart
    assert result.settle


def test_everything_that_a_process_loads_restarts_it_when_it_changed() -> None:
    before = wanted()
    for change in (
        wanted(inputs=replace(INPUTS, release=replace(RELEASE, sha256="b" * 64))),
        wanted(inputs=replace(INPUTS, login=Login("application", SecretStr("other")))),
        wanted(inputs=replace(INPUTS, authority="OTHER\n")),
        wanted({"client_name": "two", "client_port": 9002}),
        wanted(app_capabilities=("CAP_NET_RAW",)),
    ):
        assert todo(change, found(before)).restart


def test_file_changed_by_hand_is_put_right_without_a_restart() -> None:
    application = wanted()
    node = found(application)
    path = "/etc/message-app/message-app.conf"
    damaged = {**node.files, path: FoundFile("0" * 64, "600", "root", "root")}
    result = todo(application, replace(node, files=damaged))
    assert [file.path for file in result.files] == [path]
    assert not result.restart


def test_process_that_runs_with_something_else_is_restarted() -> None:
    application = wanted()
    for changes in ({"active": False}, {"loaded_sha256": "0"}, {"loaded_sha256": None}):
        assert todo(application, found(application, **changes)).restart


def test_unit_that_does_not_start_at_boot_is_settled_without_a_restart() -> None:
    application = wanted()
    result = todo(application, found(application, enabled=False))
    assert result.settle
    assert not result.restart


def test_drained_node_is_put_back_though_nothing_else_is_to_change() -> None:
    application = wanted()
    result = pending(application, found(application), RELEASES, 3, drained=True)
    assert result
    assert not result.restart


def test_recorded_hash_is_the_one_that_the_unit_calculates(tmp_path: Any) -> None:
    application = wanted()
    texts = [f"{RELEASE.sha256}\n", *(f.content for f in application.own_files)]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_text(text)
    script = f"cd {tmp_path} && cat 0 1 2 3 | sha256sum"
    said = subprocess.check_output(["sh", "-c", script], text=True)
    assert said.split()[0] == application.loaded_sha256
    order = unit(application).split("&& cat ")[1].split(" | sha256sum")[0].split()
    paths = [file.path for file in application.own_files]
    assert order == ["/opt/message-app/current/.portway-sha256", *paths]


def test_configuration_holds_what_the_application_needs() -> None:
    text = config(
        wanted(
            {"client_name": "one", "client_port": 9001},
            {"client_name": "web", "client_port": 9004, "mode": "http"},
            {"client_name": "via", "client_port": 9005, "send_proxy": True},
        )
    )
    assert "host = db.test\nport = 5432\nname = messages\nschema = messages\n" in text
    assert f"user = application\npassword = {PASSWORD}\n" in text
    assert "[client web]\nport = 9004\nmode = http\nproxy = no\n" in text
    assert "[client via]\nport = 9005\nmode = tcp\nproxy = yes\n" in text


def test_node_listens_only_for_clients_that_are_sent_to_it() -> None:
    text = config(
        wanted(
            {"client_name": "one", "client_port": 9001, "nodes": ["app-2"]},
            {"client_name": "two", "client_port": 9002, "app_port": 7002},
            {"client_name": "off", "client_port": 9003, "enabled": False},
        )
    )
    assert "[client one]" not in text
    assert "[client two]\nport = 7002\n" in text
    assert "[client off]" not in text


def test_clients_that_share_a_port_share_a_listener() -> None:
    text = config(
        wanted(
            {"client_name": "one", "client_port": 9001, "app_port": 7000},
            {"client_name": "two", "client_port": 9002, "app_port": 7000},
        )
    )
    assert text.count("port = 7000") == 1


def test_secret_configuration_is_private_and_in_no_text_of_values() -> None:
    application = wanted(inputs=replace(INPUTS, token=SecretStr("token-secret")))
    file = application.node.file("/etc/message-app/message-app.conf")
    assert (file.mode, file.owner, file.secret) == ("600", "root", True)
    assert PASSWORD not in repr(application)
    assert "token-secret" not in repr(application)


def test_unit_takes_root_s_power_away_and_runs_the_current_release() -> None:
    text = unit(wanted(app_writable_folders=("/srv/spool",)))
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "ReadWritePaths=-/srv/spool",
        "ExecStart=/opt/message-app/current/bin/message-app "
        "--config /etc/message-app/message-app.conf",
    ):
        assert f"\n{line}\n" in text


def test_command_line_is_taken_by_systemd_as_it_is() -> None:
    assert unit_escaped("run 50% $HOME") == "run 50%% $$HOME"


def test_unit_is_one_that_systemd_accepts(tmp_path: Any) -> None:
    text = unit(wanted()).replace(
        "/opt/message-app/current/bin/message-app", "/bin/true"
    )
    path = tmp_path / "message-app.service"
    path.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "message-app.service:" not in said.stderr, said.stderr
