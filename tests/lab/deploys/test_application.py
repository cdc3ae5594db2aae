"""The application and its database under load: rotated, upgraded, and broken."""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.artifactory.releases import REPOSITORY, faults_file, folder
from lab.ground.namespaces import inside
from lab.plan import facts
from lab.plan.names import AWS, Lab
from lab.traffic.acknowledgements import Report
from lab.traffic.load import Load
from lab.vendor.hostile import build_hostile
from tests.certificates import Company, company
from tests.lab.system import (
    PROJECT,
    PYINFRA,
    System,
    changes,
    commands,
    output,
    stream,
    wait_until,
)

PORTS = (9001, 9002, 9003)
DRAIN_SECONDS = 5
QUICK_DRAIN = ("--data", "drain_timeout=1")
RELOAD = ("--data", "app_reload_command=kill -HUP $MAINPID")

QUERY = "SELECT control_id, version FROM messages.messages"

ROTATE = """
import boto3, json, secrets, sys
manager = boto3.client("secretsmanager")
(name,) = [s["Name"] for s in manager.list_secrets()["SecretList"]
           if "ApplicationSecret" in s["Name"]]
old = json.loads(manager.get_secret_value(SecretId=name)["SecretString"])
new = {**old, "password": secrets.token_hex(16)}
manager.put_secret_value(SecretId=name, SecretString=json.dumps(new))
print(json.dumps(old))
"""

LOG_IN = """
import os, socket, sys, time, pg8000.native
try:
    session = pg8000.native.Connection(
        sys.argv[1], host=sys.argv[2], database="messages", ssl_context=True,
        password=sys.stdin.readline().strip())
    {then}
except pg8000.native.DatabaseError as error:
    print(error.args[0]["C"])
"""
VANISH = """
    time.sleep(0.5)  # until what the server sent is acknowledged
    repair = 19  # TCP_REPAIR: what is closed then sends no FIN, as with no power
    session._usock.setsockopt(socket.IPPROTO_TCP, repair, 1)
    os._exit(0)
"""
LOCKED = ("28P01", "28000")
"""What the database answers with when it lets nobody in."""


@contextmanager
def load(system: System, clients: int = 20) -> Iterator[Report]:
    """Clients that send all the while; the report is complete when they stopped."""
    with Load.start(
        Lab(system.name), system.address, PORTS, clients, pause=0.3
    ) as sending:
        sending.wait_until_served()
        yield sending.report
    assert all(client.ids for client in sending.report.clients)


def stored(system: System) -> dict[str, str]:
    """The control id of every stored message, and the version that stored it."""
    return dict(line.split("|") for line in ask(system, QUERY))


def version(system: System, node: str) -> str:
    """The release that an application node's process runs."""
    show = "readlink /proc/$(systemctl show -p MainPID --value message-app)/cwd"
    return system.node(node, show).stdout.strip().rpartition("/")[2]


def versions(system: System) -> dict[str, str]:
    """The same for each application node."""
    nodes = sorted(system.addresses("application"))
    return {node: version(system, node) for node in nodes}


def test_site_a_second_time_changes_nothing(site: System) -> None:
    second = site.deploy(what="site")
    assert changes(second) == 0, output(second)


def test_rendered_files_are_those_on_the_nodes(site: System, tmp_path: Path) -> None:
    portway = (sys.executable, "-m", "portway.cli.main")
    saved = tmp_path / "saved.json"
    site.operator(*portway, "save", "inventories/lab.py", str(saved))
    for node in ("lb-1", "app-1"):
        words = ("--node", node, "--from", str(saved), "--to", str(tmp_path / node))
        found = json.loads(site.run(*portway, "render", *words, "--json"))
        assert found["left_out"] == [] or node == "app-1"
        files = {f["path"]: f"{f['sha256']} {f['mode']}" for f in found["files"]}
        look = 'echo "$(sha256sum <"$f" | cut -c-64) $(stat -c %a "$f")"'
        script = f"for f in {' '.join(files)}; do {look}; done"
        deployed = site.node(node, script).stdout.splitlines()
        assert dict(zip(files, deployed, strict=True)) == files
        for path, listed in files.items():
            written = (tmp_path / node / path[1:]).read_bytes()
            assert listed.startswith(hashlib.sha256(written).hexdigest())


def test_dry_run_of_the_database_lists_nothing_once_it_is_made(site: System) -> None:
    plan = json.loads(site.deploy("--dry", "--json", what="db").stdout)["plan"]
    assert [step for step in plan if step["hosts_with_change"]] == []


@contextmanager
def reconnecting(system: System) -> Iterator[None]:
    """The application opens a database connection for each message meanwhile."""
    faults = "/etc/message-app/faults.json"
    nodes = system.addresses("application")
    for node in nodes:
        system.node(node, f"echo '{{\"reconnect\": true}}' >{faults}")
    yield
    for node in nodes:
        system.node(node, f"rm {faults}")


def login_on(system: System, node: str) -> str:
    """The database user in a node's configuration."""
    show = "sed -n 's/^user = //p' /etc/message-app/message-app.conf"
    return system.node(node, show).stdout.strip()


def test_password_rotated_three_times_refuses_no_connection_and_loses_no_message(
    site: System,
) -> None:
    end_dead_sessions(site)
    since = f"@{time.time():.0f}"
    before, olds = login_on(site, "app-1"), []
    with reconnecting(site), load(site, clients=4) as report:
        for way in (RELOAD, RELOAD, QUICK_DRAIN):
            olds.append((before, json.loads(site.python(ROTATE))["password"]))
            done = output(site.deploy("-y", *way, what="site"))
            user = login_on(site, "app-1")
            assert user == login_on(site, "app-2") != before
            assert (
                f"login {user} gets the application's new password; "
                f"{before} is locked when no node uses it"
            ) in done
            before = user
    assert report.acknowledged <= stored(site).keys()
    for node in site.addresses("application"):
        journal = ("journalctl", "-u", "message-app", "-o", "cat", "--since", since)
        said = site.execute(node, *journal)
        assert said.count("serves 4 clients") == 3
        assert "not stored" not in said
        assert "the database does not work" not in said
    for user, password in olds:
        assert answer_to(site, user, password) in LOCKED, done
    assert changes(site.deploy(what="site")) == 0


def test_session_of_a_dead_node_is_named_and_lets_go_when_it_ends(site: System) -> None:
    """The node is gone without a word, so only the database has a session left."""
    before = login_on(site, "app-1")
    place = site.nodes()["app-1"]["address"]
    password = json.loads(site.python(ROTATE))["password"]
    assert log_in(site, before, password, then=VANISH) == ""
    kept = f"{before} is locked when no node uses it (1 session of it from {place})"
    assert kept in output(site.deploy("-y", *QUICK_DRAIN, what="site"))
    assert kept in output(site.deploy("-y", what="db"))
    assert answer_to(site, before, password) == "let in"
    end_dead_sessions(site)
    assert f"Lock the user {before}" in output(site.deploy("-y", what="db"))
    assert answer_to(site, before, password) in LOCKED
    assert changes(site.deploy(what="site")) == 0


def end_dead_sessions(system: System) -> None:
    """End the application's sessions whose other end is gone.

    Nodes of earlier tests lost their power or were terminated, so nothing ended their
    sessions: the database would need six minutes, with keepalives as in RDS.
    """
    sessions = "SELECT pid, host(client_addr), client_port FROM pg_stat_activity"
    theirs = f"{sessions} WHERE usename LIKE 'application%'"
    pids = {
        f"{address}:{port}": pid
        for pid, address, port in (row.split("|") for row in ask(system, theirs))
    }
    for node in system.addresses("application"):
        alive = system.node(node, "ss -Htn state established dport = :5432").stdout
        for line in alive.splitlines():
            pids.pop(line.split()[2], None)
    for pid in pids.values():
        ask(system, f"SELECT pg_terminate_backend({pid})")


def ask(system: System, statement: str) -> list[str]:
    """The lines that the lab's database answers with."""
    psql = ("runuser", "-u", "postgres", "--", "psql", "-qtAX", "-d", "messages")
    return system.execute("db-1", *psql, "-c", statement).splitlines()


def answer_to(system: System, user: str, password: str) -> str:
    """What the database says to somebody who logs in: an SQLSTATE, or "let in"."""
    return log_in(system, user, password, then='print("let in")')


def log_in(system: System, user: str, password: str, then: str) -> str:
    """What somebody prints who logs in on app-1: an SQLSTATE, or what ``then`` does."""
    show = "sed -n 's/^host = //p' /etc/message-app/message-app.conf"
    endpoint = system.node("app-1", show).stdout.strip()
    # A node of the application is where the database lets anyone in from.
    library = "PYTHONPATH=/opt/message-app/current/lib"
    answer = system.call(
        *("exec", "app-1", "--", "env", library),
        *("python3", "-c", LOG_IN.format(then=then), user, endpoint),
        stdin=password + "\n",
    )
    return answer.stdout.strip()


def test_upgrade_under_load_loses_no_message(site: System) -> None:
    with load(site) as report:
        site.deploy("-y", "--data", "app_version=2.0.0", what="app")
    kept = stored(site)
    assert report.acknowledged <= kept.keys()
    assert {kept[i] for i in report.acknowledged} == {"1.0.0", "2.0.0"}
    assert set(versions(site).values()) == {"2.0.0"}
    for client in report.clients:
        assert client.longest_refusal <= DRAIN_SECONDS
    back = site.deploy(what="app")
    assert changes(back) > 0
    assert set(versions(site).values()) == {"1.0.0"}


def test_broken_release_stops_the_roll_at_the_first_node(site: System) -> None:
    with load(site) as report:
        options = ("--data", "app_version=2.0.1", "--data", "app_start_timeout=8")
        result = site.deploy("-y", *options, what="app", check=False)
    assert result.returncode != 0
    running = versions(site)
    (broken,) = [node for node, version in running.items() if version == "2.0.1"]
    assert f"{broken}: deploy failed: " in output(result)
    assert report.acknowledged <= stored(site).keys()
    assert site.ask(9001) != ""
    site.deploy(what="app")
    assert set(versions(site).values()) == {"1.0.0"}
    assert site.answering_nodes(9001, 8) == set(running)


def drained_on(system: System, name: str) -> set[str]:
    """The servers that a load balancer was told to send no clients."""
    return {row[3] for row in system.servers(name) if row[6] != "0"}


def nobody_serves(system: System) -> bool:
    """Whether both load balancers see every server as down."""
    return all(map(system.finds_nobody_healthy, ("lb-1", "lb-2")))


def drained(system: System) -> set[str]:
    """The servers that any load balancer was told to send no clients."""
    return {node for name in ("lb-1", "lb-2") for node in drained_on(system, name)}


def test_stages_come_in_order_and_a_failing_one_stops_the_rest(site: System) -> None:
    text = output(site.deploy("-y", "-v", what="site"))
    stages = re.findall(r"Starting operation: deploys/(\w+)\.py", text)
    assert stages == sorted(stages, key=("db", "app", "lb").index)
    assert set(stages) == {"db", "app", "lb"}
    site.execute("db-1", "systemctl", "stop", "postgresql@17-main")
    try:
        result = site.deploy("-y", "-v", what="site", check=False)
    finally:
        site.execute("db-1", "systemctl", "start", "postgresql@17-main")
    assert result.returncode != 0
    assert "does not reach the database" in output(result)
    assert "Starting operation: deploys/app.py" not in output(result)
    wait_until(lambda: site.ask(9001) != "", 30, "messages are taken again")


def test_second_run_takes_few_commands(site: System) -> None:
    result = site.deploy("-y", "--debug", what="app")
    taken = commands(result)
    # Two of the lease, one of the system's facts, one of the application's.
    assert taken.pop("app-1") == taken.pop("app-2") == 4, output(result)
    # Two of the lease, one of the routes, one of the servers, one of their health.
    assert taken == {"lb-1": 5, "lb-2": 5}, output(result)


def test_node_left_drained_is_put_back_by_the_next_run(site: System) -> None:
    drain = "echo 'set server tcp_leastconn/app-1 state drain'"
    site.node("lb-1", f"{drain} | socat - UNIX-CONNECT:/run/haproxy/admin.sock")
    assert drained(site) == {"app-1"}
    assert changes(site.deploy(what="app")) == 1
    assert drained(site) == set()


def test_run_killed_in_a_turn_is_finished_by_the_next(site: System) -> None:
    options = ("-y", "--data", "app_version=2.0.0")
    with load(site) as report:
        words = (PYINFRA, "inventories/lab.py", "deploys/app.py", *options)
        short = ("--data", "drain_timeout=60", "--data", "lease_expiry=6")
        process = subprocess.Popen(
            site.command("run", "--", *words, *short),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: len(drained(site)) == 1, 60, "a drained node")
        process.kill()
        process.wait()
        site.deploy(*options, what="app")
    assert set(versions(site).values()) == {"2.0.0"}
    assert drained(site) == set()
    assert report.acknowledged <= stored(site).keys()
    site.deploy(what="app")


def test_node_whose_test_message_fails_stays_out_over_a_reload(site: System) -> None:
    faults = "/etc/message-app/faults.json"
    site.node("app-1", f"echo '{{\"refuse\": true}}' >{faults}")
    try:
        options = ("-y", "--data", "app_version=2.0.0")
        result = site.deploy(*options, what="app", check=False)
        for node in ("lb-1", "lb-2"):
            site.reload_haproxy(node)
        assert site.answering_nodes(9001, 8) == {"app-2"}
    finally:
        site.node("app-1", f"rm {faults}")
    assert result.returncode != 0
    assert "app-1: deploy failed: its test message failed" in output(result)
    assert "message-app was stopped there, so that it gets no clients" in output(result)
    site.deploy(what="app")
    wait_until(
        lambda: site.answering_nodes(9001, 4) == {"app-1", "app-2"}, 30, "both nodes"
    )


def test_one_node_goes_first_when_the_database_is_down(site: System) -> None:
    site.execute("db-1", "systemctl", "stop", "postgresql@17-main")
    try:
        wait_until(lambda: nobody_serves(site), 40, "no node serves")
        options = ("--data", "app_version=2.0.0", "--data", "app_start_timeout=5")
        result = site.deploy("-y", *options, what="app", check=False)
    finally:
        site.execute("db-1", "systemctl", "start", "postgresql@17-main")
    assert result.returncode != 0
    assert sorted(versions(site).values()) == ["1.0.0", "2.0.0"]
    site.deploy(what="app")
    assert set(versions(site).values()) == {"1.0.0"}
    wait_until(lambda: site.ask(9001) != "", 30, "messages are taken again")


def test_batch_that_leaves_no_node_is_refused(site: System) -> None:
    said = told(site, "--data", "app_batch=2", "--data", "app_version=2.0.0")
    assert "app_batch 2 would take every application node out of service" in said


def test_drain_that_fails_half_way_is_undone(site: System) -> None:
    standby = site.standby
    options = ("--data", "app_version=2.0.0", "--data", "drain_timeout=40")
    words = (PYINFRA, "inventories/lab.py", "deploys/app.py", "-y", *options)
    freeze = "kill -{} $(pgrep -x haproxy)"
    with stream(site, 9001) as one, stream(site, 9001) as two:
        with site.started("run", "--", *words) as run:
            wait_until(lambda: len(drained(site)) == 1, 60, "a drained node")
            site.node(standby, freeze.format("STOP"))
            try:
                wait_until(lambda: not drained_on(site, site.holder), 60, "undone")
            finally:
                site.node(standby, freeze.format("CONT"))
        one()
        two()
    assert run.returncode != 0
    assert "deploy failed" in output(run)
    assert set(versions(site).values()) == {"1.0.0"}
    site.deploy(what="app")
    assert drained(site) == set()


def test_notice_of_the_login_shell_breaks_nothing(site: System) -> None:
    nodes = ("app-1", "app-2", "lb-1", "lb-2")
    rc = "/etc/bash.bashrc"
    for node in nodes:
        site.node(node, f"cp -p {rc} {rc}.kept; sed -i '1i echo Authorized only' {rc}")
    try:
        said = output(site.deploy("-y", "-vvv", what="site"))
        assert "Authorized only" in said, "the shell says nothing"
        assert changes(site.deploy("-y", what="site")) == 0
        site.deploy("-y", "--data", "app_version=2.0.0", what="app")
    finally:
        for node in nodes:
            site.node(node, f"mv {rc}.kept {rc}")
    site.deploy(what="app")
    assert set(versions(site).values()) == {"1.0.0"}


def told(site: System, *options: str, what: str = "app") -> str:
    """What a run that must fail says; what runs on the nodes must not have changed."""
    before = versions(site)
    result = site.deploy("-y", *options, what=what, check=False)
    assert result.returncode != 0, output(result)
    assert "Traceback" not in output(result)
    assert versions(site) == before
    assert drained(site) == set()
    assert site.ask(9001) != ""
    return output(result)


def forget_release(site: System, version: str) -> None:
    """Take a release that an earlier test fetched from the nodes."""
    for node in site.addresses("application"):
        site.node(node, f"rm -rf /opt/message-app/releases/{version}")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"checksum": "wrong"}, "has the SHA-256"),
        ({"truncate": 1000}, "the download failed"),
        ({"status": 403}, "the secret portway/artifactory"),
    ],
)
def test_artifact_that_cannot_be_had_changes_nothing(
    site: System, fault: dict[str, Any], said: str
) -> None:
    forget_release(site, "2.0.0")
    faults = faults_file(Lab(site.name))
    faults.write_text(json.dumps(fault))
    try:
        assert said in told(site, "--data", "app_version=2.0.0")
    finally:
        faults.unlink()


def test_hostile_archive_changes_nothing(site: System) -> None:
    build_hostile("link-chain", "6.6.6", folder(Lab(site.name)) / REPOSITORY)
    assert "a link outside of it" in told(site, "--data", "app_version=6.6.6")


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_program_that_the_release_lacks_is_told_before_a_node_is_drained(
    site: System, version: str
) -> None:
    """One is on the nodes already and runs; the other is fetched first."""
    forget_release(site, "2.0.0")
    lacking = ("--data", "app_command=sbin/message-app --config {config}")
    said = told(site, "--data", f"app_version={version}", *lacking)
    assert "sbin/message-app" in said
    assert re.search("has no (executable )?sbin/message-app", said)


@contextmanager
def private_artifactory(site: System, made: Company) -> Iterator[str]:
    """The lab's Artifactory with TLS, too, while inside; yields its address."""
    served = Lab(site.name)
    program = (sys.executable, "-m", "lab.artifactory.server", folder(served))
    place = ("--address", facts.ARTIFACTORY_ADDRESS, "--port", "443")
    keys = ("--token-file", folder(served).parent / "token", "--certificate", made.file)
    process = subprocess.Popen(
        [str(word) for word in (*inside(served, AWS), *program, *place, *keys)],
        cwd=PROJECT,
    )
    connects = f"bash -c '</dev/tcp/{facts.ARTIFACTORY_ADDRESS}/443'"

    def answers() -> bool:
        return site.node("app-1", connects, check=False).returncode == 0

    try:
        wait_until(answers, 15, "Artifactory's TLS")
        yield f"https://{facts.ARTIFACTORY_ADDRESS}/artifactory"
    finally:
        process.terminate()
        process.wait()


def test_company_s_authority_is_taken_by_nodes_with_their_own_python(
    site: System, tmp_path: Path
) -> None:
    """That the release was unpacked is seen by what is missing in it."""
    made = company(tmp_path, facts.ARTIFACTORY_ADDRESS)
    (tmp_path / "company.pem").write_text(made.root)
    forget_release(site, "2.0.0")
    given = ("--data", "app_version=2.0.0", "--data", "app_command=sbin/message-app")
    with private_artifactory(site, made) as url:
        private = (*given, "--data", f"artifactory_url={url}")
        assert "set artifactory_ca_file" in told(site, *private)
        authority = f"artifactory_ca_file={tmp_path / 'company.pem'}"
        assert "has no sbin/message-app" in told(site, *private, "--data", authority)


def test_full_disk_changes_nothing(site: System) -> None:
    forget_release(site, "2.0.0")
    mount = "mount -t tmpfs -o size=1M tmpfs /opt/message-app/releases"
    # Beside the running release, which must be seen as it is when the test is over.
    for node in site.addresses("application"):
        site.node(node, mount)
    try:
        assert "are needed" in told(site, "--data", "app_version=2.0.0")
    finally:
        for node in site.addresses("application"):
            site.node(node, "umount /opt/message-app/releases")


def test_unreachable_artifactory_changes_nothing(site: System) -> None:
    option = "artifactory_url=http://192.0.2.10:9/artifactory"
    assert "cannot be reached" in told(site, "--data", option)
