"""What an application node gets, and what is to be done to it."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from portway.application.facts import ApplicationFacts
from portway.application.pending import (
    HINT,
    FoundApplication,
    Loaded,
    Pending,
    pending,
    reasons,
)
from portway.model.build import build_cluster
from portway.model.cluster import Cluster
from portway.model.login import Login
from portway.model.releases import Access, FoundReleases, Release
from portway.ops.differences import FoundFile, FoundNode, FoundService
from portway.render.application import Application, Inputs, application
from portway.render.templates import unit_escaped
from tests.unit.samples import clients, settings, stack

RELEASE = Release("1.0.0", "https://artifacts.test/a", "a" * 64)
PASSWORD = "very-secret"
INPUTS = Inputs(RELEASE, Login("application", SecretStr(PASSWORD)), "CERTIFICATE\n")


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
        loaded_sha256=application.fixed_sha256,
    )
    return FoundNode(
        files={
            file.path: FoundFile(file.sha256, file.mode, file.owner, file.group)
            for file in application.node.files
        },
        services={"message-app": replace(service, **changes)},
    )


RELEASES = FoundReleases({"1.0.0": "a" * 64}, "1.0.0")


def running(application: Application) -> FoundApplication:
    """A process that has loaded all that it should, in its own words."""
    record = [f"loaded\t{line}" for line in application.record.splitlines()]
    loaded = ApplicationFacts().process(record).loaded
    assert loaded is not None
    return FoundApplication(RELEASES, loaded)


def todo(
    application: Application,
    node: FoundNode | None = None,
    process: FoundApplication | None = None,
) -> Pending:
    return pending(
        application,
        node or found(application),
        process or running(application),
        3,
        drained=False,
    )


def test_node_that_is_as_it_should_be_has_nothing_pending() -> None:
    assert not todo(wanted())


def test_node_that_has_nothing_gets_everything() -> None:
    application = wanted()
    result = pending(application, FoundNode(), FoundApplication(), 3, drained=False)
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
        assert todo(change, found(before), running(before)).restart


def test_file_changed_by_hand_is_put_right_without_a_restart() -> None:
    application = wanted()
    node = found(application)
    path = "/etc/message-app/message-app.conf"
    damaged = {**node.files, path: FoundFile("0" * 64, "600", "root", "root")}
    result = todo(application, replace(node, files=damaged))
    assert [file.path for file in result.files] == [path]
    assert not result.restart


def test_process_that_is_not_known_to_run_as_it_should_is_restarted() -> None:
    application = wanted()
    assert todo(application, found(application, active=False)).restart
    other = Loaded("0", application.config.sha256)
    for loaded in (None, other):
        assert todo(application, process=FoundApplication(RELEASES, loaded)).restart


RELOAD: dict[str, Any] = {"app_reload_command": "kill -HUP $MAINPID"}
MORE = (
    {"client_name": "one", "client_port": 9001},
    {"client_name": "two", "client_port": 9002},
)


def test_changed_configuration_is_reloaded_if_the_application_can() -> None:
    before = wanted(**RELOAD)
    other = replace(INPUTS, login=Login("application", SecretStr("other")))
    for change in (wanted(*MORE, **RELOAD), wanted(inputs=other, **RELOAD)):
        result = todo(change, found(before), running(before))
        assert (result.reload, result.restart) == (True, False)


def test_what_only_a_start_loads_restarts_an_application_that_can_reload() -> None:
    before = wanted(**RELOAD)
    for change in (
        wanted(inputs=replace(INPUTS, authority="OTHER\n"), **RELOAD),
        wanted(*MORE, app_capabilities=("CAP_NET_RAW",), **RELOAD),
        wanted(app_command="bin/other", **RELOAD),
        wanted(
            inputs=replace(INPUTS, release=replace(RELEASE, sha256="b" * 64)), **RELOAD
        ),
    ):
        result = todo(change, found(before), running(before))
        assert (result.reload, result.restart) == (False, True)


def test_reload_command_alone_reaches_the_unit_without_a_restart() -> None:
    before = wanted()
    result = todo(wanted(**RELOAD), found(before), running(before))
    assert result.settle
    assert not result.restart
    assert not result.reload
    # … and serves for a change that comes with it.
    assert todo(wanted(*MORE, **RELOAD), found(before), running(before)).reload
    assert "\nExecReload=kill -HUP $MAINPID\n" in unit(wanted(**RELOAD))


def read(folder: Path) -> FoundApplication:
    """What the fact says of a node whose files are in a folder."""
    script = ApplicationFacts().command(app="message-app")
    for path in ("/opt/", "/etc/", "/run/"):
        script = script.replace(path, f"{folder}{path}")
    said = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True
    )
    return ApplicationFacts().process(said.stdout.splitlines())


def put(folder: Path, path: str, content: str) -> Path:
    target = folder / path.removeprefix("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)
    return target


@pytest.fixture
def node_of_0_1_0(tmp_path: Path) -> Path:
    """A node as version 0.1.0 leaves it: one hash of everything, another unit."""
    application = wanted()
    files = [file for file in application.own_files if "listeners" not in file.path]
    texts = {file.path: file.content for file in files}
    path = "/etc/systemd/system/message-app.service"
    (start,) = (i for i in texts[path].splitlines() if i.startswith("ExecStartPre="))
    texts[path] = texts[path].replace(start, "ExecStartPre=+/bin/sh -c 'another'")
    for path, text in texts.items():
        put(tmp_path, path, text)
    release = "/opt/message-app/releases/1.0.0"
    put(tmp_path, f"{release}/.portway-sha256", f"{RELEASE.sha256}\n")
    (tmp_path / "opt/message-app/current").symlink_to("releases/1.0.0")
    everything = "".join((f"{RELEASE.sha256}\n", *texts.values()))
    digest = hashlib.sha256(everything.encode()).hexdigest()
    put(tmp_path, "/run/portway/loaded/message-app", f"{digest}  -\n")
    return tmp_path


def test_process_of_version_0_1_0_is_recorded_and_not_restarted(
    node_of_0_1_0: Path,
) -> None:
    application = wanted()
    before = read(node_of_0_1_0)
    assert before.loaded == Loaded(
        application.fixed_sha256, application.config.sha256, is_recorded=False
    )
    result = todo(application, process=before)
    assert result.record == application.record
    assert not result.restart
    # The next run finds its record behind the old one, whatever the files are then.
    record = node_of_0_1_0 / "run/portway/loaded/message-app"
    with record.open("a") as file:
        file.write(result.record)
    put(node_of_0_1_0, "/etc/systemd/system/message-app.service", unit(application))
    assert not todo(application, process=read(node_of_0_1_0))
    # Version 0.1.0 itself finds the line that it wrote.
    assert record.read_text().splitlines()[0].endswith("  -")


def test_changed_client_on_a_node_of_version_0_1_0_is_taken_over_by_a_reload(
    node_of_0_1_0: Path,
) -> None:
    change = wanted(*MORE, **RELOAD)
    result = todo(change, process=read(node_of_0_1_0))
    assert (result.reload, result.restart) == (True, False)
    assert len(result.record.splitlines()) == 2, "it is not known what it serves"


def test_node_without_anything_says_so(tmp_path: Path) -> None:
    assert read(tmp_path) == FoundApplication()


def test_files_written_and_not_loaded_leave_a_process_of_0_1_0_unknown() -> None:
    said = ["loaded\taaa  -", "disk everything\tbbb", "disk fixed\tc", "disk config\td"]
    assert ApplicationFacts().process(said).loaded is None


def test_reasons_count_ports() -> None:
    before, change = wanted(), wanted(*MORE)
    assert reasons(change, found(before), running(before)) == (
        "ports in its configuration: 1 added",
        HINT,
    )
    assert reasons(before, found(change), running(change)) == (
        "ports in its configuration: 1 removed",
        HINT,
    )
    can = wanted(*MORE, **RELOAD)
    assert HINT not in reasons(can, found(before), running(before))
    assert reasons(before, found(before), running(before)) == ()


def test_unit_that_does_not_start_at_boot_is_settled_without_a_restart() -> None:
    application = wanted()
    result = todo(application, found(application, enabled=False))
    assert result.settle
    assert not result.restart


def test_drained_node_is_put_back_though_nothing_else_is_to_change() -> None:
    application = wanted()
    result = pending(
        application, found(application), running(application), 3, drained=True
    )
    assert result
    assert not result.restart


def test_unit_records_what_a_run_expects(tmp_path: Any) -> None:
    application = wanted(**RELOAD)
    (line,) = (
        line for line in unit(application).splitlines() if "ExecStartPre=" in line
    )
    script = line.split("-c ", 1)[1][1:-1]
    contents = {file.path: file.content for file in application.own_files}
    contents["/opt/message-app/current/.portway-sha256"] = f"{RELEASE.sha256}\n"
    for number, (path, content) in enumerate(contents.items()):
        (tmp_path / str(number)).write_text(content)
        script = script.replace(path, str(tmp_path / str(number)))
    script = script.replace("/run/portway/loaded", str(tmp_path / "loaded"))
    subprocess.run(["sh", "-c", script], check=True)
    assert (tmp_path / "loaded" / "message-app").read_text() == application.record


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
    application = wanted(inputs=replace(INPUTS, access=Access({"a": "token-secret"})))
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
