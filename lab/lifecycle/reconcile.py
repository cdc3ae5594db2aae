"""Hosts brought to what AWS says of the stack, for ``up`` and for ``follow``."""

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from lab.aws import process, stack
from lab.faults import hosts as host_faults
from lab.ground import processes
from lab.ground.progress import say, step
from lab.lifecycle import remembered
from lab.machines import database, hosts, image, operator
from lab.machines.certificates import Authority
from lab.plan import facts, records
from lab.plan.names import Lab
from lab.plan.records import Host


def images(suite: str) -> dict[str, Path]:
    """What hosts of a role start from; the database stands for RDS in every suite."""
    stop = Event()
    with ThreadPoolExecutor() as pool:
        builds = {
            "": pool.submit(image.ensure, suite, stop=stop),
            records.DATABASE_ROLE: pool.submit(
                image.ensure, image.SUITES[0], *image.DATABASE_SERVERS, stop=stop
            ),
        }
        try:
            done, _ = wait(builds.values(), return_when=FIRST_EXCEPTION)
            for build in done:
                build.result()
        finally:
            stop.set()  # one that failed, or Ctrl-C, ends the other
        return {role: build.result() for role, build in builds.items()}


def wanted(
    machines: Iterable[stack.Machine], images: dict[str, Path]
) -> dict[str, Host]:
    """The host to have for each machine, by name."""
    return {m.node: m.host(images.get(m.role, images[""])) for m in machines}


def reconcile(
    lab: Lab,
    machines: Sequence[stack.Machine],
    present: dict[str, Host],
    settled: set[Host],
    *,
    patient: bool,
) -> None:
    """Bring the hosts to what AWS says; use it in the operator's namespace.

    Those that are settled have been seen with everything they need, and are left as
    they are for as long as AWS says the same. Others get it, and are settled when they
    have booted; a patient caller waits for that, and ends a fault of their power.
    """
    before = {path.name for path in lab.hosts.glob("*")}
    kept = _arrange(lab, present)
    on = [present[machine.node] for machine in machines if machine.on]
    settled.intersection_update(host for host in on if host.node in kept)
    for machine in machines:
        if not machine.on:
            hosts.stop(lab, machine.node)
    unsettled = [host for host in on if host not in settled]
    if unsettled or kept != before or kept != present.keys():
        _introduce(lab, list(present.values()))
        process.synchronize()
    _boot(lab, unsettled, patient=patient)
    for host in unsettled:
        # A frozen one cannot be asked.
        if host_faults.is_frozen(lab, host.node) or not hosts.has_booted(lab, host):
            continue
        if host.role == records.DATABASE_ROLE:
            engine = stack.database(host.instance_id)["Engine"]
            database.provision(lab, host, engine)
        settled.add(host)
        if not patient:
            say(f"host {host.node} is there")


def _arrange(lab: Lab, present: dict[str, Host]) -> set[str]:
    """Remove hosts that are not as the stack says, and build those that are missing.

    Returns the names of those that were kept.
    """
    keep = {
        host.node
        for host in records.hosts(lab)
        if present.get(host.node) == host and hosts.is_whole(lab, host)
    }
    built = {path.name for path in lab.hosts.glob("*")}
    for node in sorted(built - keep):
        say(f"removing host {node}")
        hosts.remove(lab, node)
    new = [host for node, host in present.items() if node not in keep]
    if new:
        with step(f"building {len(new)} hosts"):
            _build(lab, new)
    return keep


def _build(lab: Lab, new: Sequence[Host]) -> None:
    of_operator = operator.key(lab)
    authority = Authority(lab.directory / "authority")

    def build(host: Host) -> None:
        hosts.remove(lab, host.node)
        hosts.make(lab, host)
        of_instance = ""
        if host.role != records.DATABASE_ROLE:
            of_instance = stack.public_key(host.instance_id)
        hosts.authorize(lab, host, of_operator + of_instance)
        hosts.set_environment(lab, host, {"AWS_ENDPOINT_URL": facts.ENDPOINT})
        if host.role == records.DATABASE_ROLE:
            engine = stack.database(host.instance_id)["Engine"]
            database.configure(lab, host, engine, authority)
        # Last: a host that a killed run left half-made is rebuilt.
        records.save(lab, host)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(build, new))


def _introduce(lab: Lab, present: Sequence[Host]) -> None:
    """Tell the hosts the database's name, and the operator the hosts' keys.

    The operator of somebody else's stack finds hosts and their keys as users do.
    """
    names = {
        stack.database_endpoint(host.instance_id)[0]: host.address
        for host in present
        if host.role == records.DATABASE_ROLE
    }
    for host in present:
        hosts.know_names(lab, host, names)
    if remembered.makes_stack(lab):
        operator.write_home(lab, {host: hosts.host_key(lab, host) for host in present})


def _boot(lab: Lab, unsettled: Sequence[Host], *, patient: bool) -> None:
    """Switch hosts on that do not run, and wait for their boots if patient."""
    # A run that was killed leaves hosts that boot; a frozen one cannot be asked.
    late = [
        host
        for host in unsettled
        if not host_faults.is_frozen(lab, host.node) and not hosts.has_booted(lab, host)
    ]
    # One that was switched on a moment ago may have no init process yet.
    off = [
        host
        for host in late
        if not processes.in_cgroup(processes.cgroup(lab, host.node))
        and (patient or not host_faults.has_no_power(lab, host.node))
    ]
    if late and patient:
        with step(f"booting {len(late)} hosts"):
            for host in off:
                host_faults.power_on(lab, host.node)
            with ThreadPoolExecutor(max_workers=len(late)) as pool:
                list(pool.map(lambda host: hosts.wait(lab, host), late))
    else:
        for host in off:
            say(f"switching host {host.node} on")
            host_faults.power_on(lab, host.node)
