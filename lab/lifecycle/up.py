"""Bringing a lab up, step by step, from whatever is there already."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.artifactory import releases
from lab.aws import process, stack
from lab.faults import hosts as host_faults
from lab.ground import namespaces
from lab.ground.machine import check_machine, raise_limits
from lab.ground.progress import say, step
from lab.lifecycle.lock import alone
from lab.machines import database, hosts, image, operator
from lab.machines.certificates import Authority
from lab.plan import facts, records
from lab.plan.files import write_whole
from lab.plan.names import OPERATOR, Lab
from lab.plan.records import Host
from lab.vpc import wiring

_SUITE = "suite"


def up(  # noqa: PLR0913 - what a lab can be asked to be
    lab: Lab,
    application_nodes: int | None = None,
    suite: str | None = None,
    engine: str | None = None,
    address_kind: str | None = None,
    *,
    load_balancers_as: str | None = None,
) -> None:
    """Bring a lab to what is asked, whatever of it is there already."""
    check_machine()
    if changed := raise_limits():
        say(changed)
    with alone(lab):
        lab.directory.mkdir(parents=True, exist_ok=True)
        chosen = _remember_suite(lab, suite)
        disk_image, database_image = _images(chosen)
        images = {records.DATABASE_ROLE: database_image}
        with step("network and AWS"):
            wiring.make(lab)
            process.start(lab)
        with namespaces.within(lab, OPERATOR):
            with step("the stack"):
                done = stack.ensure(
                    application_nodes, engine, address_kind, load_balancers_as
                )
                stack.grant()
                stack.name_instances()
                machines = stack.machines()
            say(f"stack {facts.STACK} {done}: {', '.join(m.node for m in machines)}")
            wanted = {
                machine.node: machine.host(images.get(machine.role, disk_image))
                for machine in machines
            }
            _reconcile(lab, machines, wanted)
            with step("the vendor's releases"):
                releases.ensure(lab)
        say(f"lab {lab.name} is up")


def _remember_suite(lab: Lab, suite: str | None) -> str:
    """The suite that is asked for, else the one before, else the default."""
    file = lab.directory / _SUITE
    chosen = suite or (file.read_text().strip() if file.exists() else image.SUITES[0])
    write_whole(file, chosen + "\n")
    return chosen


def _images(suite: str) -> tuple[Path, Path]:
    """What nodes and the database start from, which stands for RDS in every suite."""
    with ThreadPoolExecutor() as pool:
        nodes = pool.submit(image.ensure, suite)
        servers = image.DATABASE_SERVERS
        stored = pool.submit(image.ensure, image.SUITES[0], *servers)
        return nodes.result(), stored.result()


def _reconcile(
    lab: Lab, machines: Sequence[stack.Machine], wanted: dict[str, Host]
) -> None:
    """Remove hosts that are not as the stack says, and build those that are missing."""
    keep = {
        host.node
        for host in records.hosts(lab)
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
    process.synchronize()
    _power(lab, machines, wanted)


def _build(lab: Lab, new: Sequence[Host]) -> None:
    public_key = operator.key(lab)
    authority = Authority(lab.directory / "authority")
    authority.ensure()

    def build(host: Host) -> None:
        hosts.remove(lab, host.node)
        hosts.make(lab, host)
        hosts.authorize(lab, host, public_key)
        hosts.set_environment(lab, host, {"AWS_ENDPOINT_URL": facts.ENDPOINT})
        if host.role == records.DATABASE_ROLE:
            engine = stack.database(host.instance_id)["Engine"]
            database.configure(lab, host, engine, authority)
        # Last: a host that a killed run left half-made is rebuilt.
        records.save(lab, host)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(build, new))


def _introduce(lab: Lab, present: Sequence[Host]) -> None:
    """Tell the hosts the database's name, and the operator the hosts' keys."""
    names = {
        stack.database_endpoint(host.instance_id)[0]: host.address
        for host in present
        if host.role == records.DATABASE_ROLE
    }
    for host in present:
        hosts.know_names(lab, host, names)
    operator.write_home(lab, {host: hosts.host_key(lab, host) for host in present})


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
        if host.role == records.DATABASE_ROLE:
            engine = stack.database(host.instance_id)["Engine"]
            database.provision(lab, host, engine)
