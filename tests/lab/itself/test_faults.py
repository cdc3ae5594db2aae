"""The lab's faults: each takes effect, and is undone."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from lab.errors import LabError
from lab.faults import interface as faults
from lab.ground import namespaces, processes, shell
from lab.machines import hosts
from lab.plan import records
from lab.plan.names import ROUTER, Lab
from tests.lab.conftest import NAME
from tests.lab.system import System, wait_until

LAB = Lab(NAME)

ASSOCIATE = """
import boto3, sys
from botocore.config import Config
ec2 = boto3.client("ec2", endpoint_url=sys.argv[1], region_name="us-east-1",
    config=Config(retries={"total_max_attempts": 1}))
try:
    print(ec2.associate_address(AllocationId=sys.argv[2], InstanceId=sys.argv[3],
        AllowReassociation=True, DryRun=len(sys.argv) > 4)["AssociationId"])
except Exception as error:
    response = error.response
    print(response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"])
"""

CLOCK = """
import socket, time
server = socket.create_server(("127.0.0.1", 7))
while True:
    connection, _ = server.accept()
    connection.sendall(b"%f %f" % (time.time(), time.monotonic()))
    connection.close()
"""


@pytest.fixture(autouse=True)
def _healed(lab: System) -> Iterator[None]:
    yield
    faults.heal(LAB)
    assert faults.in_force(LAB) == ()


def address(node: str) -> str:
    return next(host.address for host in records.hosts(LAB) if host.node == node)


def greets(node: str, source: str = "operator", seconds: float = 5) -> bool:
    """Whether a node's sshd says anything."""
    try:
        with closing(connect(node, source, seconds)) as connection:
            return bool(connection.recv(20))
    except OSError:
        return False


def connect(node: str, source: str = "operator", seconds: float = 5) -> socket.socket:
    with namespaces.within(LAB, source):
        return socket.create_connection((address(node), 22), timeout=seconds)


def arrivals(source: str, target: str, count: int) -> list[int]:
    """Which of some numbered packets of VRRP's protocol arrive, in their order."""
    with namespaces.within(LAB, target):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    with namespaces.within(LAB, source):
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    arrived: list[int] = []
    with closing(receiver), closing(sender), suppress(TimeoutError):
        receiver.settimeout(0.4)
        for number in range(count):
            sender.sendto(b"%d" % number, (address(target), 0))
        while len(arrived) < count:
            # An IP header comes first.
            arrived.append(int(receiver.recv(100)[20:]))
    return arrived


def heard(source: str, target: str, count: int = 1) -> int:
    """How many of some packets of VRRP's protocol arrive."""
    return len(arrivals(source, target, count))


def test_one_way_cut_loses_packets_in_one_direction_until_healed(lab: System) -> None:
    faults.cut(LAB, "lb-1", "lb-2", one_way=True)
    assert (heard("lb-1", "lb-2"), heard("lb-2", "lb-1")) == (0, 1)
    faults.heal(LAB)
    assert (heard("lb-1", "lb-2"), heard("lb-2", "lb-1")) == (1, 1)


def test_cut_of_vrrp_leaves_other_protocols_alone(lab: System) -> None:
    faults.cut(LAB, "lb-1", "everything", only="vrrp")
    assert (heard("lb-1", "lb-2"), heard("lb-2", "lb-1")) == (0, 0)
    assert greets("lb-1")


def test_cut_interrupts_established_connections_until_healed(lab: System) -> None:
    with closing(connect("lb-1")) as connection:
        assert connection.recv(200)
        faults.cut(LAB, "operator", "lb-1")
        connection.sendall(b"SSH-2.0-test\r\n")
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(200)
        faults.heal(LAB)
        connection.settimeout(5)
        assert connection.recv(200)


def test_cut_and_vpc_both_outlive_changes_of_the_other(lab: System) -> None:
    allocation = lab.status()["address"]["objects"][0]
    instance = lab.nodes()["lb-1"]["instance_id"]
    faults.cut(LAB, "operator", "lb-1")
    associated = lab.python(ASSOCIATE, endpoint(lab), allocation, instance)
    assert associated.startswith("eipassoc-")
    assert lab.holder == "lb-1"
    assert not greets("lb-1", seconds=0.5)
    faults.heal(LAB)
    assert greets("lb-1")
    # The security groups still hold.
    assert not greets("lb-1", "customer", seconds=0.5)


@pytest.mark.alone
def test_drop_loses_some_packets(lab: System) -> None:
    faults.drop(LAB, "lb-1", "lb-2", 50)
    assert 60 < heard("lb-1", "lb-2", 200) < 140
    faults.drop(LAB, "lb-1", "lb-2", 100, one_way=True)
    assert (heard("lb-1", "lb-2", 5), heard("lb-2", "lb-1", 200) > 0) == (0, True)
    faults.heal(LAB)
    assert heard("lb-1", "lb-2", 200) == 200


@pytest.mark.alone
def test_delay_makes_packets_late_each_way_and_keeps_their_order(lab: System) -> None:
    def round_trip() -> float:
        started = time.monotonic()
        connect("lb-1").close()
        return time.monotonic() - started

    faults.delay(LAB, "operator", "lb-1", 500)
    faults.delay(LAB, "operator", "lb-1", 150)
    assert 0.3 <= round_trip() < 1
    faults.delay(LAB, "lb-1", "lb-2", 150, one_way=True)
    assert arrivals("lb-1", "lb-2", 100) == list(range(100))
    faults.heal(LAB)
    assert round_trip() < 0.3
    assert not list(processes.cgroup(LAB).glob("fault.*"))
    tables = [*namespaces.inside(LAB, ROUTER), "nft", "list", "tables"]
    assert shell.output(tables).split() == ["table", "ip", "vpc"]


def test_frozen_host_is_silent_until_thawed(lab: System) -> None:
    assert greets("lb-1")
    faults.freeze(LAB, "lb-1")
    with pytest.raises(TimeoutError):
        connect("lb-1", seconds=0.5)
    assert faults.in_force(LAB) == ("freeze lb-1",)
    with pytest.raises(LabError, match="lb-1 is frozen"):
        faults.stop(LAB, "lb-1", "ssh")
    faults.thaw(LAB, "lb-1")
    assert greets("lb-1")
    assert faults.in_force(LAB) == ()


def test_host_without_power_is_silent_and_boots_when_healed(lab: System) -> None:
    with closing(connect("lb-1")) as connection:
        assert connection.recv(200)
        lab.execute("lb-1", "ip", "address", "add", "203.0.113.99/32", "dev", "lo")
        faults.power_off(LAB, "lb-1")
        connection.settimeout(0.3)
        # Neither a reset nor an end: nobody is there to send them.
        with pytest.raises(TimeoutError):
            connection.recv(200)
    assert faults.in_force(LAB) == ("power-off lb-1",)
    assert lab.nodes()["lb-1"]["state"] == "off"
    faults.heal(LAB)
    assert greets("lb-1")
    assert "203.0.113.99" not in lab.execute("lb-1", "ip", "address")


def test_reboot_is_the_guests_own(lab: System) -> None:
    def boot() -> int | None:
        return processes.init_of(processes.cgroup(LAB, "lb-1"))

    before = boot()
    faults.reboot(LAB, "lb-1")
    wait_until(lambda: boot() not in (None, before), 15, "lb-1 boots again")
    host = next(host for host in records.hosts(LAB) if host.node == "lb-1")
    hosts.wait(LAB, host)
    assert greets("lb-1")


def test_killed_unit_is_started_again_by_systemd(lab: System) -> None:
    def main_pid() -> str:
        return lab.execute("lb-1", "systemctl", "show", "-P", "MainPID", "ssh").strip()

    before = main_pid()
    faults.kill(LAB, "lb-1", "ssh")
    wait_until(lambda: main_pid() not in (before, "0"), 5, "ssh runs again")


def test_hung_unit_answers_when_resumed(lab: System) -> None:
    faults.hang(LAB, "lb-1", "ssh")
    assert not greets("lb-1", seconds=0.5)
    assert faults.in_force(LAB) == ("hang lb-1 ssh.service",)
    faults.resume(LAB, "lb-1", "ssh")
    assert greets("lb-1")
    faults.hang(LAB, "lb-1", "ssh.service")
    faults.heal(LAB)
    assert greets("lb-1")


def test_stopped_unit_is_started_when_healed(lab: System) -> None:
    faults.stop(LAB, "lb-1", "ssh")
    assert not greets("lb-1")
    assert faults.in_force(LAB) == ("stop lb-1 ssh.service",)
    faults.start(LAB, "lb-1", "ssh")
    assert faults.in_force(LAB) == ()
    faults.stop(LAB, "lb-1", "ssh")
    faults.heal(LAB)
    assert greets("lb-1")


@pytest.mark.alone
def test_clock_steps_for_a_running_process_and_monotonic_time_does_not(
    lab: System,
) -> None:
    unit = "[Service]\nExecStart=/usr/bin/python3 /run/tell.py\n"
    script = f"cat >/run/systemd/system/tell.service <<'END'\n{unit}END\n"
    script += f"cat >/run/tell.py <<'END'\n{CLOCK}END\n"
    lab.node("lb-1", f"{script}systemctl daemon-reload; systemctl start tell")

    def told() -> tuple[float, float]:
        with namespaces.within(LAB, "lb-1"):
            connection = socket.create_connection(("127.0.0.1", 7), timeout=2)
        with closing(connection):
            wall, monotonic = map(float, connection.recv(100).split())
        return wall - time.time(), monotonic - time.monotonic()

    def listens() -> bool:
        return ":7 " in lab.execute("lb-1", "ss", "-ltn")

    wait_until(listens, 5, "it tells the time")
    faults.prepare_clock(LAB, "lb-1", ["tell"])
    wait_until(listens, 5, "it tells the time again")
    for offset in (0, 3600, -3600.5):
        faults.clock(LAB, "lb-1", offset)
        assert told() == pytest.approx((offset, 0), abs=0.3)
    assert faults.in_force(LAB) == ("clock lb-1 -3600.5",)
    faults.heal(LAB)
    assert told() == pytest.approx((0, 0), abs=0.3)


def endpoint(lab: System) -> str:
    return str(lab.status()["endpoint"])


def test_aws_denies_throttles_and_fails_for_whom_it_shall(lab: System) -> None:
    status = lab.status()
    words = [status["endpoint"], status["address"]["objects"][0]]
    words.append(lab.nodes()["lb-1"]["instance_id"])

    def on_node(*more: str) -> str:
        return lab.execute("lb-1", "python3", "-c", ASSOCIATE, *words, *more).strip()

    started = time.time()
    faults.aws(LAB, "deny", actions=("AssociateAddress",), source="lb-1")
    assert on_node() == on_node("--dry-run") == "403 UnauthorizedOperation"
    assert lab.python(ASSOCIATE, *words).startswith("eipassoc-")
    faults.aws(LAB, "throttle", source="lb-1")
    assert on_node() == "503 RequestLimitExceeded"
    faults.aws(LAB, "fail")
    assert lab.python(ASSOCIATE, *words).strip() == "500 InternalError"
    faults.heal_aws(LAB)
    assert on_node().startswith("eipassoc-")
    made = [
        (call.source, call.status, call.parameters.get("DryRun"))
        for call in faults.calls(LAB, since=started)
        if call.action == "AssociateAddress"
    ]
    lb, operator = address("lb-1"), status["operator"]
    assert [(source, code) for source, code, _ in made] == [
        (lb, 403),
        (lb, 403),
        (operator, 200),
        (lb, 503),
        (operator, 500),
        (lb, 200),
    ]
    assert [dry_run for _, _, dry_run in made][:2] == ["false", "true"]


@pytest.mark.alone
def test_slow_aws_keeps_nobody_else_waiting(lab: System) -> None:
    status = lab.status()
    words = [status["endpoint"], status["address"]["objects"][0]]
    words.append(lab.nodes()["lb-1"]["instance_id"])
    faults.aws(LAB, "slow", 60_000, source="lb-1")
    command = ["python3", "-c", ASSOCIATE, *words]
    lab.execute("lb-1", "systemd-run", "--quiet", "--unit=ask", *command)
    # Carried out at once, while the answer is late.
    wait_until(lambda: lab.holder == "lb-1", 5, "lb-1 holds the address")
    assert lab.execute("lb-1", "systemctl", "is-active", "ask").strip() == "active"
    faults.heal(LAB)

    def over() -> bool:
        state = lab.execute("lb-1", "systemctl", "is-active", "ask", check=False)
        return state.strip() == "inactive"

    wait_until(over, 5, "lb-1 has its answer")


def test_aws_that_is_down_does_not_answer(lab: System) -> None:
    curl = ["curl", "--silent", "--max-time", "0.5", endpoint(lab)]
    assert lab.execute("lb-1", *curl)
    faults.aws(LAB, "down", source="lb-1")
    assert not lab.execute("lb-1", *curl, check=False)
    assert faults.in_force(LAB) == ("cut lb-1 aws",)
    faults.aws(LAB, "down")
    # The lab itself is not in the way of its faults.
    faults.heal(LAB)
    assert lab.execute("lb-1", *curl)


def test_metadata_service_fails_until_healed(lab: System) -> None:
    url = "http://169.254.169.254/latest/api/token"
    write = ["-w", "%{http_code}", "-X", "PUT", "-H"]
    header = "X-aws-ec2-metadata-token-ttl-seconds: 60"
    curl = ["curl", "-s", "-o", "/dev/null", *write, header, url]
    faults.imds(LAB, "fail")
    assert lab.execute("lb-1", *curl) == "503"
    faults.heal(LAB)
    assert lab.execute("lb-1", *curl) == "200"


def test_command_line_sets_lists_and_heals(lab: System) -> None:
    lines = [
        "freeze lb-1",
        "cut lb-1 lb-2 --one-way --only vrrp",
        "delay app-1 everything 40",
        "aws deny --action AssociateAddress --from lb-2",
        "aws slow 200",
        "imds fail",
    ]
    for line in lines:
        lab.call("fault", *line.split())
    assert lab.call("fault", "list").stdout.splitlines() == lines
    lab.call("fault", "heal")
    assert lab.call("fault", "list").stdout == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("freeze lb-9", "no host 'lb-9'; it has app-1"),
        ("kill lb-1 nothing", "no unit nothing.service; it runs dbus.service"),
        ("cut lb-1 nowhere", "no 'nowhere'; it has app-1"),
        ("aws deny --action Associate", "no action Associate in ec2"),
        ("clock app-1 5", "no unit of keepalived.service"),
    ],
)
def test_wrong_input_is_refused_with_what_there_is(
    lab: System, line: str, words: str
) -> None:
    result = lab.call("fault", *line.split(), check=False)
    assert result.returncode == 1
    assert words in result.stderr


def test_down_removes_everything_whatever_is_in_force(lab: System) -> None:
    faults.freeze(LAB, "lb-1")
    faults.delay(LAB, "lb-1", "everything", 30)
    lab.down()
    assert not processes.cgroup(LAB).exists()
    assert not namespaces.listed(LAB)
    lab.up("--app-nodes", "2")
    assert greets("lb-1")
