"""Load balancers deploy to themselves, from a release: the order of the pair holds.

The hosts have Debian's Python and no package that a release needs.
"""

import hashlib
import io
import json
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
from lab.traffic.load import Load, missing
from portway.agent import metrics
from portway.agent.building import Built, build
from portway.aws.role_drift import AGENT
from portway.contract import paths
from portway.load_balancers.pulled import GOES_BACK
from portway.model.progress import TAG
from portway.run.checkout import project_version as version
from tests.integration.agent.checkouts import original
from tests.lab.deploys.membership import lose
from tests.lab.system import System, changes, output, shown, wait_until

__all__ = ["original"]

HAPROXY = str(paths.HAPROXY_CONFIG)
CURRENT = "/opt/portway/current"
TIMER, UNIT = "portway-agent.timer", "portway-agent.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
FIRST_BOOT_FILE = "/etc/systemd/system/portway-first-boot.service"
SETTINGS = 'health_path = "/nowhere"\nverify_timeout = 5\n'
"""With which no load balancer finds a node healthy."""
OFTEN = ("--data", "agent_look_interval=30")
LOOK = f"""
systemctl stop {TIMER}
while [ "$(systemctl is-active {UNIT})" = activating ]; do sleep 0.2; done
[ -z "$1" ] || {CURRENT}/bin/portway agent "$1"
since=$(date +@%s)
systemctl start {UNIT}
journalctl --sync
journalctl -q -o cat -u {UNIT} --since=$since
systemctl start {TIMER}
"""
REMOVE = f"""
[ ! -e {FIRST_BOOT_FILE} ] || systemctl disable --now portway-first-boot.service
[ ! -e {UNIT_FILE} ] || systemctl disable --now {TIMER}
systemctl stop {UNIT}
rm -rf /etc/systemd/system/{TIMER} {UNIT_FILE} /opt/portway /var/lib/portway/agent
rm -f {metrics.FILE} {FIRST_BOOT_FILE}
systemctl daemon-reload
"""
FOLDER = "/var/tmp/release"
STACK = f"{facts.STACK}-agent"
PORTS = (9001, 9002, 9003)

CREATE = """
import boto3, sys
stack, name, template, user = sys.argv[1:]
cloud = boto3.client("cloudformation")
role = next(
    one["PhysicalResourceId"] for one in
    cloud.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    if one["LogicalResourceId"] == "LoadBalancerRole")
cloud.create_stack(
    StackName=name, TemplateBody=open(template).read(),
    Capabilities=["CAPABILITY_IAM"],
    Parameters=[{"ParameterKey": key, "ParameterValue": value}
                for key, value in (("Stack", stack), ("LoadBalancerRole", role))])
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
    to = tmp_path_factory.mktemp("built")
    return build(original, ["debian13-amd64"], to, uncommitted=False)


@pytest.fixture(scope="module")
def agents(site: System, built: Built) -> Iterator[Agents]:
    """Both load balancers have the release, and may deploy to themselves."""
    site.python(CREATE, facts.STACK, STACK, str(AGENT), facts.OPERATOR_USER)
    found = Agents(site, built)
    for node in ("lb-1", "lb-2"):
        found.bring(node)
    found.run_all(found.nodes)
    yield found
    for node in found.nodes:
        site.node(node, f"rm -rf {FOLDER}")  # it may be another one by now
    site.python(DELETE, STACK, facts.OPERATOR_USER)


def config(system: System, node: str) -> str:
    return system.execute(node, "cat", HAPROXY)


def test_release_runs_with_the_hosts_own_python(agents: Agents) -> None:
    system, release = agents.system, agents.release
    have = system.node("lb-1", "python3 -c 'import click'", check=False)
    assert have.returncode, "the host must not have what the release brings"
    check = f"cd {release}/project && ../bin/portway check --json"
    assert json.loads(system.node("lb-1", check).stdout)["problems"] == []


@pytest.mark.parametrize("what", ["standby", "holder"])
def test_drift_is_mended_and_a_second_run_changes_nothing(
    agents: Agents, what: str
) -> None:
    system = agents.system
    node: str = getattr(system, what)
    told = agents.told()[node]
    assert told.startswith("serves ")
    before = config(system, node)

    stop = "; systemctl stop keepalived" if what == "standby" else ""
    system.node(node, f"echo '# by hand' >>{HAPROXY}{stop}")
    mended = agents.run(node)
    assert mended.returncode == 0, shown(mended)
    assert changes(mended) > 0
    assert config(system, node) == before
    assert system.execute(node, "systemctl", "is-active", "keepalived") == "active\n"

    again = agents.run(node)
    assert again.returncode == 0, shown(again)
    assert changes(again) == 0, output(again)
    assert agents.told()[node] == told
    assert getattr(system, what) == node


def test_holder_of_the_address_is_changed_once_its_standby_serves(
    agents: Agents,
) -> None:
    system, change = agents.system, ("--data", "idle_timeout=7000")
    holder, standby = system.holder, system.standby
    before = config(system, holder)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(agents.run, holder, *change)
        look = f"test -s {paths.WAITS}"
        wait_until(lambda: not system.node(holder, look, False).returncode, 30, "it")
        assert not waiting.done(), shown(waiting.result())
        assert config(system, holder) == before

        first = agents.run(standby, *change)
        assert first.returncode == 0, shown(first)
        assert "7000s" in config(system, standby)
        second = waiting.result(timeout=60)
    assert second.returncode == 0, shown(second)
    assert f"waiting until {standby} serves with the same" in output(second)
    assert "7000s" in config(system, holder)
    told = agents.told()
    assert told[holder] == told[standby]


def test_holder_stays_as_it_is_while_its_standby_does_not_serve(
    agents: Agents,
) -> None:
    """Also once nothing differs on the standby any more."""
    system = agents.system
    holder, standby = system.holder, system.standby
    change = ("--data", "health_path=/nowhere", "--data", "verify_timeout=5")
    before = config(system, holder)
    for _ in range(2):
        failed = agents.run(standby, *change)
        assert failed.returncode == 1, shown(failed)
        assert "backends without a healthy server" in output(failed)
        assert agents.told()[standby].startswith("begun ")
    assert "/nowhere" in config(system, standby)

    refused = agents.run(holder, *change, "--data", "pair_timeout=0")
    assert refused.returncode == 1, shown(refused)
    why = f"{standby}, its standby, has begun with this configuration and does not"
    assert why in output(refused), shown(refused)
    assert config(system, holder) == before

    for node in (standby, holder):
        done = agents.run(node)
        assert done.returncode == 0, shown(done)
        assert agents.told()[node].startswith("serves ")


def test_holder_without_a_word_of_its_standby_is_mended_and_not_changed(
    agents: Agents,
) -> None:
    system, patience = agents.system, ("--data", "pair_timeout=3")
    holder, standby = system.holder, system.standby
    agents.run_all((holder, standby))  # whatever the test before this one deployed
    agents.forget(standby)
    before = config(system, holder)
    change = (*patience, "--data", "idle_timeout=5000")
    for why in ("does not serve with this configuration yet", "has said nothing of"):
        refused = agents.run(holder, *change)
        assert refused.returncode == 1, shown(refused)
        assert f"{standby}, its standby, {why}" in output(refused)
        assert config(system, holder) == before

    system.node(holder, f"echo '# by hand' >>{HAPROXY}")
    early = agents.run(holder, *patience)
    assert early.returncode == 1, shown(early)
    late = agents.run(holder, *patience)
    assert late.returncode == 0, shown(late)
    assert f"is mended though {standby}, its standby, has said nothing" in output(late)
    assert config(system, holder) == before

    # What it served with before needs nobody's trial.
    for data, seconds in ((change, "5000s"), (patience, "86400s")):
        restored = agents.restore(holder, *data)
        assert restored.returncode == 0, shown(restored)
        assert seconds in config(system, holder)
    assert config(system, holder) == before


def test_keepalived_of_a_standby_starts_once_the_holder_knows_the_node(
    agents: Agents,
) -> None:
    system, patience = agents.system, ("--data", "pair_timeout=2")
    holder, standby = system.holder, system.standby
    agents.forget(holder)
    system.node(standby, "systemctl stop keepalived")

    refused = agents.run(standby, *patience)
    assert refused.returncode == 1, shown(refused)
    assert f"{holder}, which goes first here, has not said" in output(refused)
    state = system.node(standby, "systemctl is-active keepalived", check=False)
    assert state.stdout == "inactive\n"
    assert system.masters() == [holder]

    for node in (holder, standby):
        done = agents.run(node, *patience)
        assert done.returncode == 0, shown(done)
    assert system.execute(standby, "systemctl", "is-active", "keepalived") == "active\n"
    assert system.masters() == [system.holder] == [holder]


@pytest.mark.parametrize("what", ["standby", "holder"])
def test_what_both_must_have_at_once_is_left_to_a_run_for_both(
    agents: Agents, what: str
) -> None:
    system = agents.system
    node: str = getattr(system, what)
    before = system.execute(node, "cat", str(paths.KEEPALIVED_CONFIG))
    refused = agents.run(node, "--data", "virtual_router_id=77")
    assert refused.returncode == 1, shown(refused)
    assert "virtual_router_id changes" in output(refused), shown(refused)
    assert system.execute(node, "cat", str(paths.KEEPALIVED_CONFIG)) == before


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
        found: dict[str, Any] = json.loads(self.agent(node, "status", "--json").stdout)
        return found

    def has_served(self, node: str, name: str) -> bool:
        return bool(self.status(node)["served"] == name)

    def turn(self, node: str) -> str:
        """What a turn says that is due now, as the timer starts it."""
        return self.look(node, "resume")

    def look(self, node: str, before: str = "") -> str:
        """What a turn says that comes after those of the timer, and after a verb."""
        return self.system.execute(node, "sh", "-c", LOOK, "sh", before)


def with_settings(built: Built, name: str, settings: str, to: Path) -> Built:
    """A release that has some settings more; building it anew would take longer."""
    file = to / f"portway-{built.version}-{name}.tar"
    with tarfile.open(built.file) as old, tarfile.open(file, "w") as new:
        for member in old:
            content = old.extractfile(member)
            if content is not None and member.name.endswith("/group_data/lab.py"):
                text = content.read() + settings.encode()
                member.size, content = len(text), io.BytesIO(text)
            new.addfile(member, content)
    with file.open("rb") as archive:
        sha256 = hashlib.file_digest(archive, "sha256").hexdigest()
    return Built(file, built.version, sha256, file.stat().st_size)


@pytest.fixture(scope="module")
def timers(
    agents: Agents, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Timers]:
    """Both load balancers have the good release, and a timer that runs it."""
    system = agents.system
    to = tmp_path_factory.mktemp("changed")
    other = with_settings(agents.built, "other", "idle_timeout = 7100\n", to)
    bad = with_settings(agents.built, "bad", SETTINGS, to)
    found = Timers(system, agents.built, other, bad)
    found.publish(found.good)
    system.deploy("-y", *OFTEN, what="agent")
    yield found
    for node in ("lb-1", "lb-2"):
        system.node(node, REMOVE)


def test_timers_run_the_release_that_is_published(timers: Timers) -> None:
    """The first time, at once."""
    system, name = timers.system, timers.good.file.name.removesuffix(".tar")
    for node in ("lb-1", "lb-2"):
        wait_until(partial(timers.has_served, node, name), 120, f"a run on {node}")
        told = timers.status(node)
        assert (told["release"], told["failures"]) == (name, 0)
        assert system.execute(node, f"{CURRENT}/bin/portway", "--version") == (
            f"{version()}\n"
        )
    again = system.deploy("-y", *OFTEN, what="agent")
    assert changes(again) == 0, output(again)
    standby = system.standby
    system.node(standby, f"systemctl stop {TIMER}")
    others = ("--data", "agent_interval=1500", "--data", "agent_look_interval=31")
    assert changes(system.deploy("-y", *others, what="agent")) == 4
    show = ("systemctl", "show", "--property=ExecStart", UNIT)
    for node in ("lb-1", "lb-2"):
        assert "--every 1500 " in system.execute(node, *show)
        timer = system.execute(node, "systemctl", "cat", TIMER)
        assert "OnUnitInactiveSec=31s" in timer
        assert system.execute(node, "systemctl", "is-active", TIMER) == "active\n"


def test_what_is_published_is_deployed_by_the_timers(timers: Timers) -> None:
    """Nobody does anything, and no run is due: each looks at AWS, and sees it."""
    system, began = timers.system, time.time()
    holder, standby = system.holder, system.standby
    good, other = (
        b.file.name.removesuffix(".tar") for b in (timers.good, timers.other)
    )
    with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
        load.wait_until_served()
        timers.publish(timers.other)
        for node in (standby, holder):
            wait_until(partial(timers.has_served, node, other), 150, f"it on {node}")
            assert "timeout client 7100s" in config(system, node)
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    loaded = [system.execute(n, "stat", "-c", "%Y", HAPROXY) for n in (standby, holder)]
    assert began < float(loaded[0]) <= float(loaded[1]), "the standby first"
    assert system.masters() == [system.holder] == [holder]

    for node in (standby, holder):
        timers.look(node)
        since = time.time()
        timers.look(node)
        assert calls_from(system, node, since) == ["GetParameter", "DescribeInstances"]
        used = ("systemctl", "show", "--property=CPUUsageNSec", "--value", UNIT)
        seconds = int(system.execute(node, *used)) / 1e9
        print(f"{node}: a look that found nothing took {seconds:.3f} s of a processor")
        assert seconds < 0.3, "a tenth where nothing else runs"

    timers.publish(timers.good)
    for node in (standby, holder):
        timers.turn(node)
        assert timers.has_served(node, good)


def calls_from(system: System, node: str, since: float) -> list[str]:
    """What a node has asked AWS, but for what keeps the address at it."""
    address = system.nodes()[node]["address"]
    return [
        call.action
        for call in faults.calls(Lab(system.name), since)
        if call.source == address and call.action not in ("DescribeAddresses",)
    ]


def test_release_that_does_not_serve_gives_way_to_the_one_before(
    agents: Agents, timers: Timers
) -> None:
    """Nobody does anything; meanwhile, the holder is suspended, and says why."""
    system = timers.system
    holder, standby = system.holder, system.standby
    before = {node: config(system, node) for node in (holder, standby)}
    suspended = timers.agent(holder, "suspend", "--reason", "kernel tests")
    assert suspended.returncode == 0, shown(suspended)
    timers.publish(timers.bad)
    good, bad = (b.file.name.removesuffix(".tar") for b in (timers.good, timers.bad))
    with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
        load.wait_until_served()
        said = timers.turn(standby)
        assert f"taking {bad}" in said
        assert "backends without a healthy server" in said
        assert f"this node goes back to {good}" in said
        assert agents.told()[standby].startswith("serves ")

        assert "suspended by root since" in timers.look(holder)
        load.wait_until_served(time.time())
        report = load.stop()
    assert missing(Lab(system.name), report) == set()
    assert max(gap.seconds for gap in report.longest_gaps()) < 1.5
    assert {node: config(system, node) for node in (holder, standby)} == before
    assert system.masters() == [system.holder] == [holder]

    told = timers.agent(standby, "status")
    assert told.returncode == 2, shown(told)
    assert f"{bad}: this node did not serve with it; tried again once" in told.stdout
    assert timers.agent(holder, "status").returncode == 2
    timers.publish(timers.good)
    for node in (holder, standby):
        timers.turn(node)
        assert timers.agent(node, "status").returncode == 0
        assert timers.status(node)["release"] == good


def give_user_data(system: System, value: str) -> None:
    with namespaces.within(Lab(system.name), OPERATOR):
        stack.give({"LoadBalancerUserData": value})


@pytest.fixture
def first_boot(timers: Timers) -> Iterator[System]:
    """A lab whose groups launch load balancers that deploy to themselves."""
    program = (sys.executable, "-m", "portway.cli.main", "agent", "first-boot")
    text = timers.system.operator(*program, "inventories/lab.py").stdout.strip()
    give_user_data(timers.system, text)
    yield timers.system
    give_user_data(timers.system, "")


def test_pair_is_whole_again_though_nobody_does_anything(
    timers: Timers, first_boot: System
) -> None:
    """AWS terminates each in turn, whichever holds the address then."""
    system = first_boot

    def is_whole(other: str) -> bool:
        return system.masters() == [system.holder] == [other] and all(
            timers.agent(node, "status").returncode == 0
            and system.node(node, "systemctl is-active keepalived", False).stdout
            == "active\n"
            for node in ("lb-1", "lb-2")
        )

    for _ in range(2):
        lost, other = system.holder, system.standby
        with Load.start(Lab(system.name), system.address, PORTS, 6) as load:
            load.wait_until_served()
            began = time.monotonic()
            lose(system, lost, deploys_to_itself=True)
            left = 180 - (time.monotonic() - began)
            wait_until(partial(is_whole, other), left, "a pair within three minutes")
            took = time.monotonic() - began
            print(f"{lost}: whole {took:.0f} s after it was terminated")
            load.wait_until_served(time.time())
            report = load.stop()
        assert missing(Lab(system.name), report) == set()
        found = json.loads(system.drift("--no-template", what="lb").stdout)
        assert found["findings"] == [], found
