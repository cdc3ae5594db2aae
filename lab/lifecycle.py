"""Bringing a lab up, step by step from what is there, and taking all of it down."""

import fcntl
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from lab import (
    artifactory,
    database,
    ground,
    host_faults,
    hosts,
    image,
    mounts,
    namespaces,
    operator,
    plan,
    processes,
    shell,
    stack,
    state,
)
from lab.certificates import Authority
from lab.errors import LabError
from lab.names import AWS, OPERATOR, ROUTER, Lab
from lab.network import METADATA
from lab.progress import say, step
from lab.state import Host

START_SECONDS = 30.0

_SUITE = "suite"


def up(
    lab: Lab,
    application_nodes: int | None = None,
    suite: str | None = None,
    engine: str | None = None,
    address_kind: str | None = None,
) -> None:
    """Bring a lab to what is asked, whatever of it is there already."""
    ground.check()
    with _alone(lab):
        lab.directory.mkdir(parents=True, exist_ok=True)
        chosen = _remember_suite(lab, suite)
        database_image = image.ensure(chosen, *image.DATABASE_SERVERS)
        images = {state.DATABASE_ROLE: database_image}
        disk_image = image.ensure(chosen)
        with step("network and AWS"):
            _make_network(lab)
            _start_aws(lab)
        with namespaces.within(lab, OPERATOR):
            with step("the stack"):
                done = stack.ensure(application_nodes, engine, address_kind)
                stack.name_instances()
                machines = stack.machines()
            say(f"stack {plan.STACK} {done}: {', '.join(m.node for m in machines)}")
            wanted = {
                machine.node: machine.host(images.get(machine.role, disk_image))
                for machine in machines
            }
            _reconcile(lab, machines, wanted)
            with step("the vendor's releases"):
                artifactory.ensure(lab)
        say(f"lab {lab.name} is up")


def down(lab: Lab) -> None:
    """Remove everything of a lab, whatever state it is in."""
    with _alone(lab):
        for path in sorted(lab.hosts.glob("*")):
            hosts.remove(lab, path.name)
        processes.kill(processes.cgroup(lab))
        for thing in namespaces.listed(lab):
            namespaces.remove(lab, thing)
        mounts.remove_tree(lab.directory)
        say(f"lab {lab.name} is down")


@contextmanager
def _alone(lab: Lab) -> Iterator[None]:
    """One up or down at a time; the kernel lets go when a process dies."""
    with Path(f"/run/lock/portway-lab-{lab.name}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"waiting for another up or down of lab {lab.name}"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remember_suite(lab: Lab, suite: str | None) -> str:
    """The suite that is asked for, else the one before, else the default."""
    file = lab.directory / _SUITE
    chosen = suite or (file.read_text().strip() if file.exists() else image.SUITES[0])
    state.write_whole(file, chosen + "\n")
    return chosen


def _make_network(lab: Lab) -> None:
    namespaces.make_router(lab)
    for station in plan.STATIONS:
        link = namespaces.Link(
            station.thing, station.address, station.prefix, station.gateway
        )
        namespaces.make(lab, station.thing, link)
    aws = lab.namespace(AWS)
    for address in (METADATA, plan.ARTIFACTORY_ADDRESS):
        own = ["address", "replace", f"{address}/32", "dev", "lo"]
        shell.output(["ip", "-n", aws, *own])
    for address in plan.AWS_ADDRESSES:
        route = ["route", "replace", address, "dev", AWS, "proto", "static"]
        shell.output(["ip", "-n", lab.namespace(ROUTER), *route])
    for outsider in plan.OUTSIDERS:
        route = ["route", "replace", outsider.address, "dev", outsider.device]
        shell.output(["ip", "-n", lab.namespace(ROUTER), *route, "proto", "static"])


def _start_aws(lab: Lab) -> None:
    """Start the process that is AWS, unless it is there and answers."""
    with namespaces.within(lab, OPERATOR):
        if _answers():
            return
    group = processes.cgroup(lab, AWS)
    processes.kill(group)
    checkout = Path(__file__).parent.parent
    process = shell.start(
        [*namespaces.inside(lab, AWS), sys.executable, "-m", "lab.cloud", lab.name],
        lab.log,
        cgroup=group,
        env={"PYTHONPATH": str(checkout), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    deadline = time.monotonic() + START_SECONDS
    with namespaces.within(lab, OPERATOR):
        while not _answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the lab's AWS does not start: see {lab.log}")
            time.sleep(0.1)


def _answers() -> bool:
    try:
        with socket.create_connection((plan.AWS.address, plan.API_PORT), timeout=1):
            return True
    except OSError:
        return False


def _reconcile(
    lab: Lab, machines: Sequence[stack.Machine], wanted: dict[str, Host]
) -> None:
    """Make the hosts those of the stack: what differs goes, what is missing comes."""
    keep = {
        host.node
        for host in state.hosts(lab)
        if wanted.get(host.node) == host and hosts.is_whole(lab, host)
    }
    built = {path.name for path in lab.hosts.glob("*")}
    for node in sorted(built - keep):
        say(f"removing host {node}")
        hosts.remove(lab, node)
    new = [host for node, host in wanted.items() if node not in keep]
    if new:
        with step(f"building {len(new)} hosts"):
            _build(lab, new)
    _introduce(lab, list(wanted.values()))
    _synchronize()
    _power(lab, machines, wanted)


def _build(lab: Lab, new: Sequence[Host]) -> None:
    public_key = operator.key(lab)
    authority = Authority(lab.directory / "authority")
    authority.ensure()

    def build(host: Host) -> None:
        hosts.remove(lab, host.node)
        hosts.make(lab, host)
        hosts.authorize(lab, host, public_key)
        hosts.set_environment(lab, host, {"AWS_ENDPOINT_URL": plan.ENDPOINT})
        if host.role == state.DATABASE_ROLE:
            engine = stack.database(host.instance_id)["Engine"]
            database.configure(lab, host, engine, authority)
        # Last: a host that a killed run left half-made is made anew.
        state.save(lab, host)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(build, new))


def _introduce(lab: Lab, present: Sequence[Host]) -> None:
    """Tell the hosts the database's name, and the operator the hosts' keys."""
    names = {
        stack.database_endpoint(host.instance_id)[0]: host.address
        for host in present
        if host.role == state.DATABASE_ROLE
    }
    for host in present:
        hosts.know_names(lab, host, names)
    operator.write_home(lab, {host: hosts.host_key(lab, host) for host in present})


def _synchronize() -> None:
    """Have the router take in hosts that were built or removed."""
    requests.post(plan.ENDPOINT + plan.SYNCHRONIZE, timeout=30).raise_for_status()


def _power(
    lab: Lab, machines: Sequence[stack.Machine], present: dict[str, Host]
) -> None:
    """Switch on what AWS says is on and off what is not, and wait for the boots."""
    for machine in machines:
        if not machine.on:
            hosts.stop(lab, machine.node)
    on = [present[machine.node] for machine in machines if machine.on]
    # A run that was killed leaves hosts that boot; a frozen one cannot be asked.
    late = [
        host
        for host in on
        if not host_faults.is_frozen(lab, host.node) and not hosts.has_booted(lab, host)
    ]
    if late:
        with step(f"booting {len(late)} hosts"):
            for host in late:
                host_faults.power_on(lab, host.node)
            with ThreadPoolExecutor(max_workers=len(late)) as pool:
                list(pool.map(lambda host: hosts.wait(lab, host), late))
    for host in on:
        if host.role == state.DATABASE_ROLE:
            engine = stack.database(host.instance_id)["Engine"]
            database.provision(lab, host, engine)
