"""What is broken while Prometheus watches, and how each is mended."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.faults import interface as faults
from lab.ground import namespaces
from lab.machines import commands
from lab.plan.names import Lab
from portway.agent import metrics
from portway.agent.memory import Files, Memory, Refusal
from portway.model.suspension import Suspension
from portway.ops.service_scripts import reload_script
from portway.render.load_balancer import HAPROXY
from tests.lab.deploys.prometheus import EXPORTER_PORT
from tests.lab.system import PROJECT, System, completed

APPLICATIONS = ("app-1", "app-2")
DRIFT = "/var/lib/prometheus/node-exporter/portway_drift.prom"


@dataclass(frozen=True)
class World:
    """The lab as it was when all was well."""

    system: System
    holder: str
    standby: str

    @property
    def lab(self) -> Lab:
        return Lab(self.system.name)

    @cached_property
    def words(self) -> dict[str, str]:
        """What stands in labels for the load balancers and their targets."""
        own = self.system.addresses("load-balancer")
        return {
            f"{role} {kind}": f"{own[node]}:{port}"
            for role, node in (("holder", self.holder), ("standby", self.standby))
            for kind, port in (("haproxy", 8404), ("node", EXPORTER_PORT))
        } | {"stack": "portway"}

    def is_settled(self) -> bool:
        """Whether the address is where it was, for VRRP and in AWS."""
        masters = self.system.masters()
        return masters == [self.holder] and self.system.holder == self.holder


Fault = Callable[[World], AbstractContextManager[None]]


@contextmanager
def keeper_stopped_and_drift_found(world: World) -> Iterator[None]:
    """Somebody looks for drift while a program does not run."""
    faults.stop(world.lab, world.holder, "portway-streams")
    look(world)
    try:
        yield
    finally:
        faults.start(world.lab, world.holder, "portway-streams")


def look(world: World) -> bool:
    """Look for drift, and leave what was found to a node exporter; whether any was."""
    verb = (sys.executable, "-m", "portway.cli.main", "drift", "--prometheus")
    words = (*verb, "inventories/lab.py", "deploys/lb.py")
    text = world.system.run(*words, check=False)
    assert "portway_drift" in text
    script = f"cat >{DRIFT}.new <<'END' && mv {DRIFT}.new {DRIFT}\n{text}END\n"
    world.system.node(world.holder, script)
    return bool(re.search(r"^portway_drift\{.* [1-9]", text, re.MULTILINE))


@contextmanager
def agents_in_trouble(world: World) -> Iterator[None]:
    """What agents leave that fail, refuse a release, are suspended, or hang.

    Other tests have agents do so; here there are none.
    """
    failing = Memory("portway-1", failures=3, refusal=Refusal("portway-2", ""))
    with (
        told(world, world.standby, failing, Suspension("tests", "anna", 0.0)),
        told(world, world.holder, Memory("portway-2")),
    ):
        hours_ago = f"touch --date='2 hours ago' {metrics.FILE}"
        world.system.node(world.holder, hours_ago)
        yield


@contextmanager
def one_agent(world: World) -> Iterator[None]:
    """One load balancer deploys to itself, and the other one does not."""
    with told(world, world.holder, Memory("portway-1", places={"stack": "one"})):
        yield


@contextmanager
def told(
    world: World, node: str, memory: Memory, suspended: Suspension | None = None
) -> Iterator[None]:
    """What an agent with this memory tells Prometheus."""
    with TemporaryDirectory() as folder:
        files, text = Files(Path(folder, "agent")), Path(folder, "text")
        files.keep(memory)
        if suspended:
            files.suspend(suspended)
        metrics.save(files, world.words["stack"], "load-balancer", text)
        lines = text.read_text()
    world.system.node(node, f"cat >{metrics.FILE} <<'END'\n{lines}END\n")
    try:
        yield
    finally:
        world.system.node(node, f"rm {metrics.FILE}")


RELOADS = """
import socket, subprocess, time

def newest():
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect("/run/haproxy/admin.sock")
        admin.sendall(b"show info\\n")
        return admin.makefile().read().partition("\\nPid: ")[2].split()[0]

held = []
for _ in range(53):
    held.append(socket.create_connection(("127.0.0.1", 9001), 5))
    worker = newest()
    subprocess.run(["systemctl", "reload", "haproxy"], check=True)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if newest() != worker:
                break
        except (OSError, IndexError):
            pass
        time.sleep(0.02)
time.sleep(600)
"""


@contextmanager
def many_reloads(world: World) -> Iterator[None]:
    """HAProxy at the standby is reloaded again and again, under streams."""
    run = ("systemd-run", "--quiet", "--collect", "--unit=many-reloads")
    world.system.execute(world.standby, *run, "python3", "-c", RELOADS)
    try:
        yield
    finally:
        world.system.execute(world.standby, "systemctl", "stop", "many-reloads")
        # As a run does: a reload by hand leaves unknown what is loaded, which is drift.
        world.system.node(world.standby, reload_script(HAPROXY))


@contextmanager
def standby_without_rights(world: World) -> Iterator[None]:
    """EC2 refuses the standby the move of the address, and its clock is late."""
    unit = "portway-address"
    denied = ("AssociateAddress",)
    faults.aws(world.lab, "deny", actions=denied, source=world.standby)
    faults.prepare_clock(world.lab, world.standby, (unit,))
    faults.clock(world.lab, world.standby, -240)  # with more, AWS refuses everything
    world.system.node(world.standby, f"systemctl restart {unit}")  # it looks at once
    try:
        yield
    finally:
        faults.heal_aws(world.lab)
        faults.clock(world.lab, world.standby, 0)
        undo = f"rm -r /run/systemd/system/{unit}.service.d && systemctl daemon-reload"
        world.system.node(world.standby, f"{undo} && systemctl restart {unit}")


SENDERS = """
import socket, struct, sys, threading, time, uuid
from lab.traffic.messages import message

def send(port, patience):
    while True:
        try:
            with socket.create_connection((sys.argv[1], port), 5) as connection:
                connection.settimeout(patience)
                # It gives up for good: nobody is left to get a late answer.
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                text = message(f"alert-{uuid.uuid4()}")
                connection.sendall(b"\\x0b" + text.encode() + b"\\x1c\\r")
                connection.recv(1)
        except OSError:
            pass
        time.sleep(0.2)

for port, patience in ((9001, 0.5), (9002, 30)) * 4:
    threading.Thread(target=send, args=(port, patience)).start()
"""


@contextmanager
def clients_that_nobody_serves(world: World) -> Iterator[None]:
    """Messages of one are not answered, and connections of another are refused.

    The application is healthy meanwhile.
    """
    file = "/etc/message-app/faults.json"
    rule = ("INPUT", "-p", "tcp", "--dport", "9002", "-j", "REJECT")
    refuse = (*rule, "--reject-with", "tcp-reset")
    for node in APPLICATIONS:
        world.system.node(node, f"echo '{{\"before_commit\": 5}}' >{file}")
        inside = namespaces.inside(world.lab, node)
        completed([*inside, "iptables", "-w", "-A", *refuse], check=True)
    thing, environment = commands.customer("")
    words = (sys.executable, "-c", SENDERS, world.system.address)
    senders = subprocess.Popen(
        [*namespaces.inside(world.lab, thing), *words], env=environment, cwd=PROJECT
    )
    try:
        yield
    finally:
        senders.kill()
        senders.wait()
        for node in APPLICATIONS:
            world.system.node(node, f"rm {file}")
            inside = namespaces.inside(world.lab, node)
            completed([*inside, "iptables", "-w", "-D", *refuse], check=True)


STORM = """
import socket
for _ in range(2_000):
    socket.create_connection(("127.0.0.1", 9004), 5).close()
"""


@contextmanager
def journal_that_hangs(world: World) -> Iterator[None]:
    """Nobody takes HAProxy's lines about connections, and there are many."""
    faults.hang(world.lab, world.holder, "systemd-journald")
    try:
        world.system.execute(world.holder, "python3", "-c", STORM)
    finally:
        faults.resume(world.lab, world.holder, "systemd-journald")
    yield


@contextmanager
def applications_stopped(world: World) -> Iterator[None]:
    """No application node serves."""
    for node in APPLICATIONS:
        faults.stop(world.lab, node, "message-app")
    try:
        yield
    finally:
        for node in APPLICATIONS:
            faults.start(world.lab, node, "message-app")


@contextmanager
def pair_without_a_master(world: World) -> Iterator[None]:
    """The standby is dead, and keepalived at the other one."""
    faults.freeze(world.lab, world.standby)
    faults.stop(world.lab, world.holder, "keepalived")
    try:
        yield
    finally:
        faults.start(world.lab, world.holder, "keepalived")
        faults.thaw(world.lab, world.standby)


@contextmanager
def pair_apart(world: World) -> Iterator[None]:
    """They do not hear each other, and the one has handed the address over."""
    faults.cut(world.lab, "lb-1", "lb-2", only="vrrp")
    world.system.node(world.holder, "echo 1 >/etc/portway/transfer")
    try:
        yield
    finally:
        world.system.node(world.holder, "echo 0 >/etc/portway/transfer")
        faults.heal_links(world.lab)
