"""Nodes of a lab that deploy to themselves: their releases, and their timers."""

import hashlib
import io
import json
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.aws import stack
from lab.faults import interface as faults
from lab.ground import namespaces
from lab.machines import commands
from lab.plan import facts
from lab.plan.names import OPERATOR, Lab
from portway.agent import metrics
from portway.agent.building import Built, build
from portway.agent.memory import FOLDER as REMEMBERED
from portway.agent.memory import Memory
from portway.aws.role_drift import AGENT
from portway.contract import paths
from portway.model.progress import TAG
from portway.model.pulled import GOES_BACK
from tests.integration.agent.checkouts import original, shared
from tests.lab.system import System, shown, spoiled, wait_until

__all__ = ["original"]

HAPROXY = str(paths.HAPROXY_CONFIG)
CURRENT = "/opt/portway/current"
TIMER, UNIT = "portway-agent.timer", "portway-agent.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
FIRST_BOOT_FILE = "/etc/systemd/system/portway-first-boot.service"
SETTINGS = 'health_path = "/nowhere"\nverify_timeout = 5\n'
"""With which no load balancer finds a node healthy."""
LAB_DATA = "project/group_data/lab.py"
CLIENTS = "project/group_data/clients/lab.json"
AUTHORITIES = "database-authorities.pem"
OFTEN = ("--data", "agent_look_interval=30")
STOP = f"""
systemctl stop {TIMER}
while [ "$(systemctl is-active {UNIT})" = activating ]; do sleep 0.2; done
"""
LOOK = f"""{STOP}
[ -z "$1" ] || {CURRENT}/bin/portway agent "$1"
since=$(date +@%s)
systemctl start {UNIT}
journalctl --sync
journalctl -q -o cat -u {UNIT} --since=$since
systemctl start {TIMER}
"""
BEGIN = f"""
date +%s.%N
systemctl reset-failed {UNIT}
systemctl start --no-block {UNIT}
"""
SAID = f"""
state=$(systemctl is-active {UNIT})
journalctl --sync
journalctl -q -o cat -u {UNIT} --since=@$1
echo "$state"
"""
SYSTEMD = (UNIT, "Starting ", "Finished ", "Failed to ", "Started ")
"""How lines begin that the service manager writes into a unit's journal."""
REMOVE = f"""
[ ! -e {FIRST_BOOT_FILE} ] || systemctl disable --now portway-first-boot.service
[ ! -e {UNIT_FILE} ] || systemctl disable --now {TIMER}
systemctl stop {UNIT}
rm -rf /etc/systemd/system/{TIMER} {UNIT_FILE} /opt/portway /var/lib/portway/agent
rm -f {metrics.FILE} {FIRST_BOOT_FILE}
systemctl daemon-reload
"""
STATUS = f"""
readlink {CURRENT} | xargs --no-run-if-empty basename
cat {REMEMBERED}/memory.json 2>/dev/null || true
"""
FOLDER = "/var/tmp/release"
STACK = f"{facts.STACK}-agent"
PORTS = (9001, 9002, 9003)
NODES = ("lb-1", "lb-2", "app-1", "app-2")

CREATE = """
import boto3, json, sys
name, template, user, parameters = sys.argv[1:]
cloud = boto3.client("cloudformation")
cloud.create_stack(
    StackName=name, TemplateBody=open(template).read(),
    Capabilities=["CAPABILITY_IAM"],
    Parameters=[{"ParameterKey": key, "ParameterValue": value}
                for key, value in json.loads(parameters).items()])
(found,) = cloud.describe_stacks(StackName=name)["Stacks"]
outputs = {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]}
boto3.client("iam").attach_user_policy(
    UserName=user, PolicyArn=outputs["PublisherPolicyArn"])
"""
DELETE = """
import boto3, sys
name, user = sys.argv[1:]
iam = boto3.client("iam")
for policy in iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]:
    if name in policy["PolicyArn"]:
        iam.detach_user_policy(UserName=user, PolicyArn=policy["PolicyArn"])
boto3.client("cloudformation").delete_stack(StackName=name)
"""
TAGS = """
import boto3, json, sys
found = boto3.client("ec2").describe_tags(
    Filters=[{"Name": "key", "Values": [sys.argv[1]]}])["Tags"]
print(json.dumps({tag["ResourceId"]: tag["Value"] for tag in found}))
"""
UNTAG = """
import boto3, sys
key, *ids = sys.argv[1:]
boto3.client("ec2").delete_tags(Resources=ids, Tags=[{"Key": key}])
"""


@dataclass
class Agents:
    """The agents of a lab's load balancers, run as somebody's unit would run them."""

    system: System
    built: Built
    nodes: set[str] = field(default_factory=set)
    """Those that have the release."""

    @property
    def release(self) -> str:
        return f"{FOLDER}/portway-{self.built.version}"

    def bring(self, node: str) -> None:
        """Unpack the release on a node."""
        unpack = f"mkdir {FOLDER} && tar --extract --directory {FOLDER}"
        line = commands.on_host(Lab(self.system.name), node, ["sh", "-c", unpack])
        with self.built.file.open("rb") as archive:
            subprocess.run(line, stdin=archive, check=True)
        self.nodes.add(node)

    def run(self, node: str, *options: str) -> subprocess.CompletedProcess[str]:
        """One run of a node's agent."""
        return self.call(node, "run", "inventories/lab.py", *options)

    def restore(self, node: str, *options: str) -> subprocess.CompletedProcess[str]:
        """A run of a node that has not served since it was changed, as it goes back."""
        self.system.node(node, f"echo '*' >{paths.UNPROVEN}")
        verb = ("run", "inventories/lab.py", *options)
        return self.call(node, *verb, environment=[f"{GOES_BACK}=yes"])

    def call(
        self, node: str, *verb: str, environment: Iterable[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """A verb of a node's agent, with the rights of its role and nothing more."""
        words = [
            *("systemd-run", "--quiet", "--wait", "--pipe", "--collect"),
            f"--property=WorkingDirectory={self.release}/project",
            f"--setenv=PORTWAY_STACK={facts.STACK}",
            f"--setenv=AWS_REGION={facts.REGION}",
            *(f"--setenv={variable}" for variable in environment),
            *(f"{self.release}/bin/portway", "agent", *verb),
        ]
        line = commands.on_host(Lab(self.system.name), node, words)
        return subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def until_done(self, node: str) -> subprocess.CompletedProcess[str]:
        """Run a node's agent as often as a timer would, for a while."""
        for _ in range(4):
            done = self.run(node)
            if done.returncode == 0:
                break
        return done

    def run_all(self, nodes: Iterable[str]) -> None:
        """Run the agents of several nodes at the same time, until all are done."""
        with ThreadPoolExecutor() as pool:
            for done in pool.map(self.until_done, nodes):
                assert done.returncode == 0, shown(done)

    def told(self) -> dict[str, str]:
        """What the load balancers tell, by name, without when they did."""
        tags = json.loads(self.system.python(TAGS, TAG))
        return {
            name: tags[node["instance_id"]].rpartition(" ")[0]
            for name, node in self.system.nodes().items()
            if node["instance_id"] in tags
        }

    def forget(self, node: str) -> None:
        """Have a node tell nothing."""
        self.system.python(UNTAG, TAG, self.system.nodes()[node]["instance_id"])


@pytest.fixture(scope="module")
def built(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    def make(folder: Path) -> None:
        build(original, ["debian13-amd64"], folder, uncommitted=False)

    (file,) = shared(tmp_path_factory, "built", make).iterdir()
    version = file.name.removeprefix("portway-").rpartition("-")[0]
    return as_built(file, version)


@pytest.fixture(scope="module")
def agents(site: System, built: Built) -> Iterator[Agents]:
    """Both load balancers have the release, and may deploy to themselves."""
    program = (sys.executable, "-m", "portway.cli.main", "agent", "parameters")
    secret = ("--artifactory-secret", facts.ARTIFACTORY_SECRET)
    parameters = site.operator(*program, *secret, "--json").stdout
    site.python(CREATE, STACK, str(AGENT), facts.OPERATOR_USER, parameters)
    found = Agents(site, built)
    for node in ("lb-1", "lb-2"):
        found.bring(node)
    found.run_all(found.nodes)
    yield found
    for node in found.nodes:
        site.node(node, f"rm -rf {FOLDER}")  # it may be another one by now
    site.python(DELETE, STACK, facts.OPERATOR_USER)


def calls_from(system: System, node: str, since: float) -> list[str]:
    """What a node has asked AWS, but for what keeps the address at it."""
    address = system.nodes()[node]["address"]
    return [
        call.action
        for call in faults.calls(Lab(system.name), since)
        if call.source == address and call.action not in ("DescribeAddresses",)
    ]


def config(system: System, node: str) -> str:
    return system.execute(node, "cat", HAPROXY)


@dataclass
class Timers:
    """The timers of a lab's load balancers, and the releases that they run."""

    system: System
    good: Built
    other: Built
    """It has another timeout."""
    bad: Built
    """Its health check asks for what no application has."""

    def publish(self, built: Built) -> None:
        publish = (sys.executable, "-m", "portway.cli.main", "release", "publish")
        assert built.sha256 in self.system.operator(*publish, str(built.file)).stdout

    def agent(self, node: str, *verb: str) -> subprocess.CompletedProcess[str]:
        words = shlex.join((f"{CURRENT}/bin/portway", "agent", *verb))
        return self.system.node(node, words, check=False)

    def status(self, node: str) -> dict[str, Any]:
        """What ``portway agent status --json`` prints, without starting it."""
        release, _, told = self.system.node(node, STATUS).stdout.partition("\n")
        return {"release": release, **asdict(Memory()), **json.loads(told or "{}")}

    def has_served(self, node: str, name: str) -> bool:
        return bool(self.status(node)["served"] == name)

    def stop(self, node: str) -> None:
        """Have a node's timer start nothing more until its next look."""
        self.system.execute(node, "sh", "-c", STOP)

    def seconds(self, node: str) -> float:
        """What a node's last turn took of a processor."""
        show = ("systemctl", "show", "--property=CPUUsageNSec", "--value", UNIT)
        return int(self.system.execute(node, *show)) / 1e9

    def interrupt(self, node: str, seen: set[str]) -> bool:
        """Start a turn, and kill it with all that it started at a line that is new.

        Whether it was killed, and did not come to its end. Numbers make no line new;
        ``seen`` are those at which one was.
        """
        since = self.system.execute(node, "sh", "-c", BEGIN).strip()
        while True:
            said = self.system.execute(node, "sh", "-c", SAID, "sh", since)
            *lines, state = said.splitlines()
            if state != "activating":
                return False
            kinds = {
                re.sub(r"[0-9a-f]{8,}|\d+", "N", line)
                for line in lines
                if not line.startswith(SYSTEMD)
            }
            if kinds - seen:
                seen |= kinds
                words = ("systemctl", "kill", "--signal=KILL", UNIT)
                self.system.execute(node, *words)
                return True

    def turn(self, node: str) -> str:
        """What a turn says that is due now, as the timer starts it."""
        return self.look(node, "resume")

    def look(self, node: str, before: str = "") -> str:
        """What a turn says that comes after those of the timer, and after a verb."""
        return self.system.execute(node, "sh", "-c", LOOK, "sh", before)


Edit = Callable[[bytes], bytes]


def changed(built: Built, name: str, to: Path, edits: Mapping[str, Edit]) -> Built:
    """A release with some files changed; building it anew would take longer.

    ``edits`` are by the path in the archive. A file that is not there is made.
    """
    file = to / f"portway-{built.version}-{name}.tar"
    with tarfile.open(built.file) as old, tarfile.open(file, "w") as new:
        left = dict(edits)
        for member in old:
            content = old.extractfile(member)
            edit = left.pop(member.name.partition("/")[2], None)
            if content is not None and edit is not None:
                text = edit(content.read())
                member.size, content = len(text), io.BytesIO(text)
            new.addfile(member, content)
        for path, edit in left.items():
            text = edit(b"")
            more = tarfile.TarInfo(f"portway-{built.version}/{path}")
            more.size = len(text)
            new.addfile(more, io.BytesIO(text))
    return as_built(file, built.version)


def as_built(file: Path, version: str) -> Built:
    with file.open("rb") as archive:
        sha256 = hashlib.file_digest(archive, "sha256").hexdigest()
    return Built(file, version, sha256, file.stat().st_size)


def with_settings(
    built: Built,
    name: str,
    settings: str,
    to: Path,
    client: Mapping[str, Any] | None = None,
) -> Built:
    """A release that has some settings more, and maybe a client."""

    def with_client(text: bytes) -> bytes:
        found = json.loads(text)
        found["clients"].append(client)
        return json.dumps(found).encode()

    edits: dict[str, Edit] = {LAB_DATA: lambda text: text + settings.encode()}
    if client is not None:
        edits[CLIENTS] = with_client
    return changed(built, name, to, edits)


@pytest.fixture(scope="module")
def timers(
    agents: Agents, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Timers]:
    """All nodes have the good release, and a timer that runs it."""
    system = agents.system
    to = tmp_path_factory.mktemp("changed")
    path = Lab(system.name).directory / "authority" / "authority.pem"
    authorities = path.read_bytes()
    line = f'database_ca_file = "{AUTHORITIES}"\n'
    edits: dict[str, Edit] = {
        LAB_DATA: lambda text: text + line.encode(),
        f"project/{AUTHORITIES}": lambda _: authorities,
    }
    good = changed(agents.built, "good", to, edits)
    other = with_settings(good, "other", "idle_timeout = 7100\n", to)
    bad = with_settings(good, "bad", SETTINGS, to)
    found = Timers(system, good, other, bad)
    found.publish(found.good)
    system.deploy("-y", *OFTEN, what="agent")
    yield found
    for node in NODES:
        system.node(node, REMOVE)


def name_of(release: Built) -> str:
    """What a release is called on a node."""
    return release.file.name.removesuffix(".tar")


@pytest.fixture(autouse=True)
def healed(timers: Timers) -> Iterator[None]:
    """Nothing is left broken, and each node is as the good release has it."""
    for node in NODES:
        has_served = partial(timers.has_served, node, name_of(timers.good))
        wait_until(has_served, 180, f"a run on {node}")
    yield
    faults.heal(Lab(timers.system.name))
    timers.publish(timers.good)
    for node in NODES:
        told = timers.status(node)
        is_as_published = told["release"] == told["served"] == name_of(timers.good)
        if not is_as_published or told["failures"] or told["refusal"]:
            timers.turn(node)
            assert timers.has_served(node, name_of(timers.good))


def give_user_data(system: System, value: str) -> None:
    with namespaces.within(Lab(system.name), OPERATOR):
        stack.give({"UserData": value})


def instances(system: System) -> set[str]:
    """The ids of the application nodes."""
    nodes, names = system.nodes(), system.addresses("application")
    return {nodes[name]["instance_id"] for name in names}


@pytest.fixture
def first_boot(timers: Timers) -> Iterator[System]:
    """A lab whose groups launch nodes that deploy to themselves."""
    program = (sys.executable, "-m", "portway.cli.main", "agent", "first-boot")
    text = timers.system.operator(*program, "inventories/lab.py").stdout.strip()
    give_user_data(timers.system, text)
    before = instances(timers.system)
    yield timers.system
    give_user_data(timers.system, "")
    if instances(timers.system) != before:  # others go by which was launched first
        spoiled.add(timers.system.name)
