"""The lab's own promises: what it stands for behaves as AWS does."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.ground import namespaces, processes, shell
from lab.plan.names import Lab
from lab.vpc import wiring
from tests.lab.conftest import NAME
from tests.lab.deploys.web_servers import fetch, served, until, wait_for_port
from tests.lab.system import PROJECT, System

ASSOCIATE = """
import boto3, sys
boto3.client("ec2").associate_address(
    AllocationId=sys.argv[1], InstanceId=sys.argv[2], AllowReassociation=True)
"""

DISASSOCIATE = """
import boto3, sys
ec2 = boto3.client("ec2")
for address in ec2.describe_addresses(AllocationIds=[sys.argv[1]])["Addresses"]:
    ec2.disassociate_address(AssociationId=address["AssociationId"])
"""

UNTAG = """
import boto3, sys
boto3.client("ec2").delete_tags(Resources=sys.argv[1:], Tags=[{"Key": "portway:slot"}])
"""

BLOB = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    connection.sendall(bytes(range(256)) * 40960)
    connection.close()
"""

KILLED = """
import os, signal, sys
from lab.ground import shell
from lab.plan.names import Lab
from lab.vpc import wiring

left, output = int(sys.argv[2]), shell.output

def counted(*arguments, **options):
    global left
    done = output(*arguments, **options)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

shell.output = counted
wiring.make(Lab(sys.argv[1]))
"""
"""Makes the network of a lab, and is killed after so many of its commands."""
ROUTER_AND_STATION = 12
"""Commands for the router and its first station; the others are made like it."""


@pytest.fixture(scope="module")
def web(lab: System) -> Iterator[None]:
    """Each load balancer answers on ports 9001 and 7001 with its name."""
    with served(lab, "9001", "7001"):
        yield


@pytest.fixture
def elastic_ip(lab: System) -> Iterator[str]:
    """The Elastic IP, held by lb-1 at first and by nobody at the end."""
    address = lab.status()["address"]
    (allocation,) = address["objects"]
    lab.python(ASSOCIATE, allocation, lab.nodes()["lb-1"]["instance_id"])
    yield address["address"]
    lab.python(DISASSOCIATE, allocation)


def test_operator_logs_in_as_admin_and_becomes_root_without_a_question(
    lab: System,
) -> None:
    for node in lab.nodes().values():
        if node["role"] == "database":
            continue
        for name in (node["node"], node["address"]):
            done = lab.run("ssh", "-o", "BatchMode=yes", name, "id -un; sudo -n id -un")
            assert done.split() == ["admin", "root"]


def test_root_cannot_log_in(lab: System) -> None:
    done = lab.call(
        "run", "--", "ssh", "-o", "BatchMode=yes", "root@lb-1", "true", check=False
    )
    assert done.returncode == 255


def test_host_with_another_key_is_refused(lab: System) -> None:
    known = Path(lab.status()["home"]) / ".ssh" / "known_hosts"
    right = known.read_text()
    lines = right.splitlines()
    swapped = [
        " ".join([a.split()[0], *b.split()[1:]])
        for a, b in zip(lines, lines[1:] + lines[:1], strict=True)
    ]
    try:
        known.write_text("\n".join(swapped) + "\n")
        done = lab.call("run", "--", "ssh", "lb-1", "true", check=False)
    finally:
        known.write_text(right)
    assert done.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_every_host_starts_all_of_its_units(lab: System) -> None:
    for node in lab.nodes():
        assert lab.execute(node, "systemctl", "is-system-running").strip() == "running"


def test_security_group_refuses_what_the_stack_does_not_allow(
    lab: System, web: None, elastic_ip: str
) -> None:
    assert fetch(lab, f"http://{elastic_ip}:9001").startswith("lb-1")
    assert fetch(lab, f"http://{elastic_ip}:7001") == ""
    application = lab.nodes()["app-1"]["address"]
    assert fetch(lab, f"http://{application}:9000") == ""


PUBLIC = """
import boto3, sys
(found,) = boto3.client("ec2").describe_instances(
    InstanceIds=[sys.argv[1]])["Reservations"]
print(found["Instances"][0]["PublicIpAddress"])
"""


def test_host_reaches_another_by_its_public_address_as_if_from_outside(
    lab: System, web: None, elastic_ip: str
) -> None:
    own = lab.python(PUBLIC, lab.nodes()["lb-2"]["instance_id"]).strip()
    url = f"http://{elastic_ip}:9001"
    said = lab.execute("lb-2", "curl", "--silent", "--max-time", "2", url)
    assert said == f"lb-1 sees {own}"
    closed = url.replace("9001", "7001")
    fetched = ["curl", "--silent", "--max-time", "2", closed]
    assert lab.execute("lb-2", *fetched, check=False) == "", "no client may go there"


ASK_FOR_TLS = """
import socket, sys
with socket.create_connection((sys.argv[1], 5432), 2) as s:
    s.sendall(bytes.fromhex("0000000804d2162f"))  # PostgreSQL's SSLRequest
    print(s.recv(1).decode())
"""


def test_database_is_reached_from_application_nodes_only(lab: System) -> None:
    name = next(
        line.split()[1]
        for line in lab.execute("app-1", "cat", "/etc/hosts").splitlines()
        if ".rds." in line
    )
    ask = ["python3", "-c", ASK_FOR_TLS, name]
    assert lab.execute("app-1", *ask) == "S\n"
    assert lab.execute("lb-1", *ask, check=False) == ""


def test_elastic_ip_follows_its_association(
    lab: System, web: None, elastic_ip: str
) -> None:
    customer = lab.status()["customers"][0]
    url = f"http://{elastic_ip}:9001"
    assert fetch(lab, url) == f"lb-1 sees {customer}"
    (allocation,) = lab.status()["address"]["objects"]
    lab.python(ASSOCIATE, allocation, lab.nodes()["lb-2"]["instance_id"])
    assert fetch(lab, url) == f"lb-2 sees {customer}"
    assert lab.holder == "lb-2"
    assert [n["node"] for n in lab.nodes().values() if n["holds_address"]] == ["lb-2"]


def test_elastic_ip_of_nobody_leads_nowhere(lab: System, web: None) -> None:
    assert lab.holder == ""
    assert fetch(lab, f"http://{lab.address}:9001") == ""


def test_much_data_passes_the_elastic_ip_unharmed(lab: System, elastic_ip: str) -> None:
    start = ["systemd-run", "--quiet", "--collect", "--unit=blob"]
    lab.execute("lb-1", *start, "python3", "-c", BLOB, "9005")
    wait_for_port(lab, "lb-1", 9005)
    read = f"""
import socket, hashlib
with socket.create_connection(("{elastic_ip}", 9005), 5) as s, s.makefile("rb") as f:
    data = f.read()
print(len(data), data == bytes(range(256)) * 40960)
"""
    try:
        assert lab.client("python", "-c", read).split() == [str(256 * 40960), "True"]
    finally:
        lab.execute("lb-1", "systemctl", "stop", "blob.service")


def test_customers_differ_by_source_address(
    lab: System, web: None, elastic_ip: str
) -> None:
    for source in lab.status()["customers"]:
        said = fetch(lab, f"http://{elastic_ip}:9001", source=source)
        assert said == f"lb-1 sees {source}"


def test_spoofed_source_is_dropped(lab: System, web: None) -> None:
    nodes = lab.nodes()
    other = "10.60.0.77"
    ask = ["curl", "-s", "-m", "2", "--interface", other]
    url = f"http://{nodes['app-1']['address']}:{lab.status()['client_ports'][0]}"
    lab.execute("lb-1", "ip", "address", "add", f"{other}/32", "dev", "lo")
    try:
        assert lab.execute("lb-1", *ask, url, check=False) == ""
    finally:
        lab.execute("lb-1", "ip", "address", "delete", f"{other}/32", "dev", "lo")


def test_metadata_needs_a_token_and_knows_who_asks(lab: System) -> None:
    ask = """
set -u
url=http://169.254.169.254/latest
curl -s -m 2 -o /dev/null -w '%{http_code}\\n' $url/meta-data/instance-id
ttl='X-aws-ec2-metadata-token-ttl-seconds: 60'
token=$(curl -s -m 2 -X PUT -H "$ttl" $url/api/token)
get() { curl -s -m 2 -H "X-aws-ec2-metadata-token: $token" $url/$1; echo; }
get meta-data/instance-id
get meta-data/tags/instance/Name
"""
    for name in ("lb-1", "app-1"):
        node = lab.nodes()[name]
        said = lab.execute(name, "bash", "-c", ask).split()
        assert said == ["401", node["instance_id"]], "tags are not shown"


def as_node(lab: System, node: str, program: str, *arguments: str) -> str:
    """What a Python program prints that calls AWS from a node."""
    status = lab.status()
    return lab.execute(
        node,
        "env",
        f"AWS_ENDPOINT_URL={status['endpoint']}",
        f"AWS_DEFAULT_REGION={status['region']}",
        "python3",
        "-c",
        program,
        *arguments,
    )


def test_node_acts_as_its_role(lab: System) -> None:
    ask = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
"""
    said = as_node(lab, "lb-1", ask)
    assert "LoadBalancerRole" in said
    assert said.strip().endswith(lab.nodes()["lb-1"]["instance_id"])


TRY = """
import boto3, sys
from botocore.exceptions import ClientError
ec2 = boto3.client("ec2")
for target in sys.argv[2:]:
    key = "InstanceId" if target.startswith("i-") else "NetworkInterfaceId"
    try:
        ec2.associate_address(AllocationId=sys.argv[1], DryRun=True, **{key: target})
    except ClientError as error:
        print(error.response["Error"]["Code"])
"""


def test_load_balancer_moves_the_stacks_address_to_load_balancers_only(
    lab: System,
) -> None:
    (own,) = lab.status()["address"]["objects"]
    other = lab.python(
        "import boto3; print(boto3.client('ec2').allocate_address()['AllocationId'])"
    ).strip()
    nodes = lab.nodes()
    refused, done = "UnauthorizedOperation", "DryRunOperation"

    for id_ in ("instance_id", "interface_id"):
        targets = [nodes[name][id_] for name in ("lb-1", "lb-2", "app-1")]
        assert as_node(lab, "lb-1", TRY, own, *targets).split() == [done, done, refused]
        assert as_node(lab, "lb-1", TRY, other, *targets).split() == [refused] * 3


WITHOUT = """
import boto3, json, sys
iam = boto3.client("iam")
(role,) = (r["RoleName"] for r in iam.list_roles()["Roles"]
           if "LoadBalancerRole" in r["RoleName"])
(policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
left = [s for s in document["Statement"] if s["Sid"] != sys.argv[1]]
assert len(left) == len(document["Statement"]) - 1
iam.put_role_policy(RoleName=role, PolicyName=policy,
                    PolicyDocument=json.dumps(document | {"Statement": left}))
print(json.dumps([role, policy, document]))
"""
AGAIN = """
import boto3, json, sys
role, policy, document = json.loads(sys.argv[1])
boto3.client("iam").put_role_policy(RoleName=role, PolicyName=policy,
                                    PolicyDocument=json.dumps(document))
"""


@pytest.mark.parametrize(
    "statement",
    ["MoveThisAddress", "ToLoadBalancersOfThisStack", "ThroughTheirInterfaces"],
)
def test_moving_the_address_needs_every_statement_about_it(
    lab: System, statement: str
) -> None:
    (own,) = lab.status()["address"]["objects"]
    target = lab.nodes()["lb-2"]["interface_id"]
    before = lab.python(WITHOUT, statement)
    try:
        assert as_node(lab, "lb-1", TRY, own, target) == "UnauthorizedOperation\n"
    finally:
        lab.python(AGAIN, before)
    assert as_node(lab, "lb-1", TRY, own, target) == "DryRunOperation\n"


OPERATE = """
import boto3, sys
from botocore.exceptions import ClientError
balancer, node = sys.argv[1:]
ec2, secrets = boto3.client("ec2"), boto3.client("secretsmanager")
def tag(instance, key):
    tags = [{"Key": key, "Value": "9"}]
    return lambda: ec2.create_tags(Resources=[instance], Tags=tags)
for call in (
    lambda: ec2.describe_instances(),
    tag(node, "portway:slot"),
    tag(node, "Name"),
    tag(balancer, "portway:slot"),
    lambda: ec2.terminate_instances(InstanceIds=[node]),
    lambda: secrets.get_secret_value(SecretId="somebody-elses"),
    lambda: secrets.get_secret_value(SecretId="portway/artifactory"),
):
    try:
        call()
        print("done")
    except ClientError as error:
        print(error.response["Error"]["Code"])
"""


def test_operator_may_do_what_the_stacks_policy_says_and_no_more(lab: System) -> None:
    named = [lab.nodes()[name]["instance_id"] for name in ("lb-1", "app-1")]
    told = lab.run("python", "-c", OPERATE, *named).split()
    lab.python(UNTAG, named[1])

    assert told == [
        "done",
        "done",
        "UnauthorizedOperation",
        "UnauthorizedOperation",
        "UnauthorizedOperation",
        "AccessDeniedException",
        "done",
    ]


def test_nothing_leads_to_the_world(lab: System) -> None:
    connect = """
import socket
s = socket.socket()
s.settimeout(2)
try:
    s.connect(("192.88.99.99", 443))
    print("reached")
except OSError:
    print("nowhere")
"""
    for node in lab.nodes():
        assert lab.execute(node, "python3", "-c", connect).strip() == "nowhere"
    assert lab.python(connect).strip() == "nowhere"
    assert lab.client("python", "-c", connect).strip() == "nowhere"


def test_broadcast_and_multicast_reach_nobody(lab: System) -> None:
    shout = ["ping", "-c", "2", "-W", "1"]
    said = lab.execute("lb-1", *shout, "224.0.0.18", check=False)
    assert "0 received" in said
    said = lab.execute("lb-1", *shout, "-b", "10.60.0.255", check=False)
    assert "0 received" in said


def test_customer_has_no_credentials(lab: System) -> None:
    assert "AWS_" not in lab.client("env")


def test_command_keeps_its_directory_status_and_input(
    lab: System, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", "--", "sh", "-c", "pwd; cat; exit 7"],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PORTWAY_LAB": lab.name, "PYTHONPATH": str(PROJECT)},
        input="through\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.returncode) == (f"{tmp_path}\nthrough\n", 7)
    inside = lab.call(
        "exec", "lb-1", "--", "sh", "-c", "cat; exit 9", check=False, stdin="x"
    )
    assert (inside.stdout, inside.returncode) == ("x", 9)


def test_rebooted_host_comes_back_with_its_disk(lab: System) -> None:
    lab.execute("app-2", "touch", "/etc/kept")
    before = lab.nodes()["app-2"]["pid"]
    lab.execute("app-2", "systemctl", "reboot", check=False)
    until(lambda: lab.nodes()["app-2"]["pid"] not in (None, before))
    until(
        lambda: (
            "running"
            in lab.execute("app-2", "systemctl", "is-system-running", check=False)
        )
    )
    assert lab.execute("app-2", "ls", "/etc/kept").strip() == "/etc/kept"
    assert lab.run("ssh", "app-2", "hostname").strip() == "app-2"


def test_hosts_install_packages_without_a_network_and_set_their_kernel(
    lab: System,
) -> None:
    node = "lb-2"
    lab.execute(node, "apt-get", "update", "-q")
    lab.execute(node, "apt-get", "install", "-qy", "haproxy", "keepalived", "socat")
    assert lab.execute(node, "systemctl", "is-active", "haproxy").strip() == "active"
    lab.execute(node, "sysctl", "-w", "net.ipv4.ip_nonlocal_bind=1")
    limit = ["systemd-run", "--quiet", "--pipe", "--wait", "-p", "LimitNOFILE=1048576"]
    said = lab.execute(node, *limit, "sh", "-c", "ulimit -n")
    # Not even root raises limits on a machine that was denied CAP_SYS_RESOURCE.
    _, here = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert int(said) >= min(1048576, here)


def test_up_again_changes_nothing(lab: System) -> None:
    before = lab.status()
    lab.call("up")
    after = lab.status()
    assert json.dumps(before) == json.dumps(after)


def test_group_grows_and_shrinks_without_touching_the_others(lab: System) -> None:
    before = lab.nodes()
    lab.call("up", "--app-nodes", "3")
    grown = lab.nodes()
    assert set(grown) - set(before) == {"app-3"}
    lab.call("up", "--app-nodes", "2")
    assert lab.nodes() == before
    assert {name: grown[name] for name in before} == before


def test_up_starts_a_host_that_lost_its_power(lab: System) -> None:
    before = lab.nodes()["app-1"]["pid"]
    lab.execute("app-1", "sh", "-c", "systemctl poweroff --force --force", check=False)
    until(lambda: lab.nodes()["app-1"]["state"] == "off")
    lab.call("up")
    assert lab.nodes()["app-1"]["pid"] not in (None, before)


def test_down_leaves_nothing_and_up_recovers_from_a_killed_up() -> None:
    other = System(f"{NAME[:11]}gone")
    environment = {**os.environ, "PORTWAY_LAB": other.name}
    up = [sys.executable, "-m", "lab", "up", "--app-nodes", "1"]

    @contextmanager
    def killed() -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            up, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def boots(process: subprocess.Popen[str]) -> bool:
        assert process.poll() is None, process.communicate()
        return processes.init_of(processes.cgroup(Lab(other.name), "db-1")) is not None

    try:
        for seconds in (0.3, 1.0, 3.0):
            with killed():
                time.sleep(seconds)
        with killed() as process:
            until(lambda: boots(process), 60)
        other.call("up", "--app-nodes", "1")
        assert set(other.nodes()) == {"app-1", "db-1", "lb-1", "lb-2"}
        assert other.run("ssh", "lb-1", "hostname").strip() == "lb-1"
    finally:
        other.call("down")
    for directory in ("netns", "systemd/nspawn/propagate"):
        assert not list(Path("/run", directory).glob(f"{other.name}-*"))
    assert other.name not in Path("/proc/self/mounts").read_text()
    assert not Path(other.status()["home"]).exists()
    assert other.name not in subprocess.check_output(["ps", "-eo", "args"], text=True)
    assert not list(Path("/sys/fs/cgroup").glob(f"**/portway-lab/{other.name}"))


def test_network_is_made_whole_after_whoever_made_it_was_killed() -> None:
    lab = Lab(f"{NAME[:11]}step")

    def remove() -> None:
        for thing in namespaces.listed(lab):
            namespaces.remove(lab, thing)

    try:
        wiring.make(lab)
        expected = network(lab)
        remove()
        for steps in range(1, ROUTER_AND_STATION + 1):
            line = [sys.executable, "-c", KILLED, lab.name, str(steps)]
            done = subprocess.run(line, cwd=PROJECT, check=False)
            assert done.returncode == -signal.SIGKILL
            wiring.make(lab)
            assert network(lab) == expected, f"killed after {steps} commands"
            remove()
    finally:
        remove()


def network(lab: Lab) -> dict[str, str]:
    """Addresses, routes and kernel settings of each namespace of a lab."""
    found = {}
    for thing in namespaces.listed(lab):
        for words in (
            ("ip", "-brief", "address"),
            ("ip", "route", "show", "table", "all"),
            ("sysctl", "--all", "--pattern", r"^net\.ipv[46]\.(conf|neigh|ip_forward)"),
        ):
            text = shell.output([*namespaces.inside(lab, thing), *words])
            # The other end of a link is shown with a number that counts on.
            found[f"{thing}: {' '.join(words)}"] = re.sub(r"@if\d+", "", text)
    return found


def test_commands_say_what_is_wrong(lab: System) -> None:
    for arguments, words in (
        (["exec", "lb-9", "--", "true"], "lb-1"),
        (["run", "--", "no-such-command"], "no-such-command"),
        (["client", "--from", "192.0.2.99", "--", "true"], "198.51.100.10"),
    ):
        done = lab.call(*arguments, check=False)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
