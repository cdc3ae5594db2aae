"""``portway drift`` finds what a run would change, and nothing once it has.

Many things are changed by hand at once, each where it disturbs no other; one look finds
them, one run mends them, and a second look finds nothing.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.system import Result, System, changes, output, wait_until

INVENTORY = "inventories/lab.py"
Found = list[dict[str, Any]]


def read(result: Result) -> dict[str, Any]:
    """The JSON that a look printed."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@dataclass(frozen=True)
class Drift:
    """Something that is changed by hand, and how it is found."""

    where: str
    """A node, or the load balancer that is ``holder`` or ``standby``."""
    by_hand: str
    """A shell script, or the SQL of the database's superuser."""
    kind: str
    thing: str
    words: str
    diff: str = ""
    """A line of the diff, if it must have one."""
    node: str = field(default="", kw_only=True)
    """Where it is found, if that is somewhere else."""
    dated: bool = field(default=False, kw_only=True)


SERVER_COMMAND = (
    "backend=$(echo 'show servers state' | socat - /run/haproxy/admin.sock | "
    'awk \'$4 == "app-1" {{print $2 "/" $4; exit}}\'); '
    'echo "set server $backend state {}" | socat - /run/haproxy/admin.sock'
)
RELOADED = (
    "cd /etc/portway && cp -a streams.json /root/streams.json && "
    "echo >>streams.json && systemctl restart portway-streams && sleep 1 && "
    "cp -a /root/streams.json streams.json"
)
DROP_IN = (
    "d=/etc/systemd/system/{0}.service.d && mkdir -p $d && "
    "printf '[Service]\\nNice=5\\n' >$d/by-hand.conf && systemctl daemon-reload"
)

DRIFTS = {
    "file edited": Drift(
        "standby",
        "echo '# by hand' >>/etc/haproxy/haproxy.cfg",
        "file",
        "/etc/haproxy/haproxy.cfg",
        "content differs",
        "-# by hand",
        dated=True,
    ),
    "file removed": Drift(
        "standby",
        "rm /etc/needrestart/conf.d/zz-portway.conf",
        "file",
        "/etc/needrestart/conf.d/zz-portway.conf",
        "is missing",
    ),
    "mode changed": Drift(
        "standby",
        "chmod 666 /etc/sysctl.d/60-portway.conf",
        "file",
        "/etc/sysctl.d/60-portway.conf",
        "mode is 666, not 644",
        dated=True,
    ),
    "owner changed": Drift(
        "standby",
        "chown nobody /usr/sbin/policy-rc.d",
        "file",
        "/usr/sbin/policy-rc.d",
        "owner is nobody:root, not root:root",
        dated=True,
    ),
    "stray file": Drift(
        "standby",
        "touch /usr/local/lib/portway/stray.py",
        "file",
        "/usr/local/lib/portway/stray.py",
        "should not be there",
    ),
    "sysctl": Drift(
        "standby",
        "sysctl -qw net.ipv4.tcp_retries2=15",
        "sysctl",
        "net.ipv4.tcp_retries2",
        "is 15, not 7",
    ),
    "service disabled": Drift(
        "standby",
        "systemctl -q disable portway-address",
        "service",
        "portway-address",
        "would not start at boot",
    ),
    "service masked": Drift(
        "standby", "systemctl -q mask haproxy", "service", "haproxy", "is masked"
    ),
    "service overridden": Drift(
        "standby",
        DROP_IN.format("keepalived"),
        "service",
        "keepalived",
        "is overridden by /etc/systemd/system/keepalived.service.d/by-hand.conf",
    ),
    "service stopped": Drift(
        "standby",
        "systemctl stop portway-check",
        "service",
        "portway-check",
        "does not run: inactive",
        dated=True,
    ),
    "package held": Drift(
        "standby", "apt-mark -q hold socat", "package", "socat", "is held"
    ),
    "package removed": Drift(
        "holder",
        "dpkg --remove --force-depends python3-boto3",
        "package",
        "python3-boto3",
        "is not installed",
    ),
    "process with an older configuration": Drift(
        "holder",
        RELOADED,
        "service",
        "portway-streams",
        "runs with another configuration than its file has",
    ),
    "server in maintenance": Drift(
        "holder",
        SERVER_COMMAND.format("maint"),
        "server",
        "app-1",
        "is drained or in maintenance on",
    ),
    "secret file edited": Drift(
        "app-2",
        "echo '# x' >>/etc/message-app/message-app.conf",
        "file",
        "/etc/message-app/message-app.conf",
        "content differs (secret, not shown)",
        dated=True,
    ),
    "application disabled and overridden": Drift(
        "app-2",
        "systemctl -q disable message-app; " + DROP_IN.format("message-app"),
        "application",
        "message-app",
        "would not start at boot; is overridden by",
    ),
    "release missing": Drift(
        "app-2",
        "rm -r /opt/message-app/releases/1.0.0",
        "release",
        "1.0.0",
        "is not on the node",
    ),
    "right revoked": Drift(
        "db-1",
        "REVOKE UPDATE ON ALL TABLES IN SCHEMA messages FROM $EVERYONE",
        "database",
        "messages",
        "Grant UPDATE",
        node="database",
    ),
    "right added": Drift(
        "db-1",
        "GRANT TRUNCATE ON ALL TABLES IN SCHEMA messages TO $USER",
        "database",
        "messages",
        "Revoke TRUNCATE",
        node="database",
    ),
    "password changed": Drift(
        "db-1",
        "ALTER USER $USER PASSWORD 'by hand'",
        "database",
        "messages",
        "Set the password of the user",
        node="database",
    ),
}


def make(system: System, drift: Drift) -> None:
    """Change something by hand."""
    if drift.where != "db-1":
        system.node(place(system, drift.where), drift.by_hand)
        return
    psql = ("runuser", "-u", "postgres", "--", "psql", "-qtAX", "-d", "messages")
    show = "sed -n 's/^user = //p' /etc/message-app/message-app.conf"
    user = system.node("app-1", show).stdout.strip()
    # After a rotation it is the second login, a member of the one that has the rights.
    everyone = f"{user}, {user.removesuffix('_portway')}"
    statement = drift.by_hand.replace("$EVERYONE", everyone).replace("$USER", user)
    system.execute("db-1", *psql, "-c", statement)


def place(system: System, where: str) -> str:
    """The node that is meant."""
    return {"holder": system.holder, "standby": system.standby}.get(where, where)


@dataclass(frozen=True)
class Looked:
    """What two looks found: after the changes by hand, and after a run."""

    system: System
    first: Result
    repaired: Result
    second: Result
    holder: str
    standby: str

    @property
    def found(self) -> Found:
        findings: Found = read(self.first)["findings"]
        return findings


@pytest.fixture(scope="module")
def looked(site: System) -> Looked:
    """Everything is changed by hand, looked at, mended by a run, and looked at."""
    holder, standby = site.holder, site.standby
    for drift in DRIFTS.values():
        make(site, drift)
    first = site.drift()
    repaired = site.deploy(what="site")
    return Looked(site, first, repaired, site.drift(), holder, standby)


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_is_found_with_its_node_its_words_and_who_moved(
    looked: Looked, name: str
) -> None:
    drift = DRIFTS[name]
    where = {"holder": looked.holder, "standby": looked.standby}.get(drift.where)
    node = drift.node or where or drift.where
    matching = [
        finding
        for finding in looked.found
        if (finding["node"], finding["kind"], finding["thing"])
        == (node, drift.kind, drift.thing)
        and drift.words in finding["what"]
    ]
    assert len(matching) == 1, json.dumps(looked.found, indent=1)
    (finding,) = matching
    assert finding["moved"] == "world"
    assert finding["mended_by_a_run"]
    assert drift.diff in finding["diff"] or not drift.diff
    assert (finding["since"] is not None) or not drift.dated


def test_look_with_drift_ends_with_2_and_one_after_a_run_with_0(
    looked: Looked,
) -> None:
    assert looked.first.returncode == 2, output(looked.first)
    assert read(looked.first)["unknown"] == []
    assert changes(looked.repaired) > 0
    assert read(looked.second)["findings"] == [], output(looked.second)
    assert looked.second.returncode == 0, output(looked.second)


def test_no_drift_means_that_a_run_changes_nothing(looked: Looked) -> None:
    again = looked.system.deploy(what="site")
    assert changes(again) == 0, output(again)


def test_look_shows_no_secret(looked: Looked) -> None:
    config = looked.system.node("app-1", "cat /etc/message-app/message-app.conf").stdout
    (password,) = (
        line.partition("=")[2].strip()
        for line in config.splitlines()
        if line.startswith("password")
    )
    assert password
    assert password not in output(looked.first)


def test_change_of_the_clients_is_yours(looked: Looked, tmp_path: Path) -> None:
    file = tmp_path / "clients.json"
    clients = json.loads(Path("group_data/clients/lab.json").read_text())
    clients["clients"].append({"client_name": "one_more", "client_port": 9777})
    file.write_text(json.dumps(clients))
    result = looked.system.drift("--data", f"clients_file={file}", what="lb")
    assert result.returncode == 2, output(result)
    findings = read(result)["findings"]
    configs = [f for f in findings if f["thing"] == "/etc/haproxy/haproxy.cfg"]
    assert [f["node"] for f in configs] == ["lb-1", "lb-2"]
    assert {f["moved"] for f in findings} == {"you"}
    assert any("9777" in line for line in configs[0]["diff"])


def test_applied_sql_file_that_was_changed_is_found(
    looked: Looked, tmp_path: Path
) -> None:
    folder = tmp_path / "sql"
    shutil.copytree("lab/vendor/sql/postgres", folder)
    first = min(folder.glob("*.sql"))
    first.write_text(first.read_text() + "-- by hand\n")
    result = looked.system.drift("--data", f"database_sql_dir={folder}", what="db")
    assert result.returncode == 2, output(result)
    (finding,) = read(result)["findings"]
    assert (finding["node"], finding["thing"]) == ("database", first.name)
    assert "was changed after it had been applied" in finding["what"]
    assert not finding["mended_by_a_run"]
    assert finding["moved"] == "you"


MOVE = """
import boto3, sys
ec2 = boto3.client("ec2")
(address,) = ec2.describe_addresses()["Addresses"]
(interface,) = ec2.describe_network_interfaces(
    Filters=[{"Name": "private-ip-address", "Values": [sys.argv[1]]}]
)["NetworkInterfaces"]
ec2.associate_address(
    AllocationId=address["AllocationId"],
    NetworkInterfaceId=interface["NetworkInterfaceId"],
    AllowReassociation=True,
)
"""


def test_address_at_another_node_than_the_master_is_found(looked: Looked) -> None:
    system, mover = looked.system, "portway-address"
    system.node(looked.holder, f"systemctl stop {mover}")
    system.python(MOVE, system.addresses("load-balancer")[looked.standby])
    result = system.drift(what="lb")
    system.node(looked.holder, f"systemctl start {mover}")
    wait_until(lambda: system.holder == looked.holder, 20, "the address is back")
    assert result.returncode == 2, output(result)
    findings = read(result)["findings"]
    (finding,) = (f for f in findings if f["kind"] == "address")
    assert (finding["node"], finding["thing"]) == ("", system.address)
    said = f"points to {looked.standby}, but VRRP master is {looked.holder}"
    assert said in finding["what"]
    assert not finding["mended_by_a_run"]
    others = {(f["node"], f["thing"]) for f in findings if f is not finding}
    assert others == {(looked.holder, mover)}


def test_what_is_dead_or_not_recognized_is_named_and_the_rest_is_told(
    looked: Looked, changed_host_key: None
) -> None:
    """A node is frozen, a host key is another one, the database is down."""
    system, database = looked.system, "postgresql@17-main"
    stray = "/usr/local/lib/portway/stray"
    system.node(looked.holder, f"touch {stray}")
    system.call("fault", "freeze", "app-2")
    system.execute("db-1", "systemctl", "stop", database)
    began = time.monotonic()
    try:
        result = system.drift()
    finally:
        system.execute("db-1", "systemctl", "start", database)
        system.call("fault", "heal")
        system.node(looked.holder, f"rm {stray}")
    assert time.monotonic() - began < 60
    assert result.returncode == 1, output(result)
    found = read(result)
    unknown = {note["node"]: note["text"] for note in found["unknown"]}
    assert unknown.keys() == {"app-1", "app-2", looked.standby}
    assert "does not reach the database" in unknown["app-1"]
    findings = {(f["node"], f["kind"], f["thing"]) for f in found["findings"]}
    assert (looked.holder, "file", stray) in findings
    assert (looked.standby, "host key", "") in findings


@pytest.fixture
def changed_host_key(looked: Looked) -> Iterator[None]:
    """The operator has another key on record than the standby shows."""
    path = Path(looked.system.status()["home"]) / ".ssh" / "known_hosts"
    before = path.read_text()
    lines = [line.split(" ") for line in before.splitlines()]
    other = next(words for words in lines if looked.holder in words[0])
    changed = [
        [words[0], *other[1:3], *words[3:]] if looked.standby in words[0] else words
        for words in lines
    ]
    path.write_text("".join(f"{' '.join(words)}\n" for words in changed))
    yield
    path.write_text(before)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("AWS_ENDPOINT_URL=http://127.0.0.1:9", "did not reach AWS"),
        ("AWS_ACCESS_KEY_ID=AKIAWRONGWRONG000000", "access denied"),
    ],
)
def test_without_aws_the_reason_is_told_and_the_status_is_1(
    looked: Looked, variable: str, said: str
) -> None:
    verb = (sys.executable, "-m", "portway.cli.main", "drift", INVENTORY, "--json")
    result = looked.system.operator("env", variable, *verb, check=False)
    assert result.returncode == 1, output(result)
    assert said in json.loads(result.stdout)["error"]
