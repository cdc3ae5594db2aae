"""Links of the lab that are cut, lossy or slow: read from the router's kernel, and set.

It knows nothing of hosts but where they are connected, and nothing of AWS.
"""

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.faults import rules as fault_rules
from lab.faults.rules import EVERYTHING, End, LinkFault
from lab.ground import namespaces, processes, shell
from lab.plan import facts, records
from lab.plan.facts import AWS_DEVICE, METADATA
from lab.plan.names import ROUTER, Lab
from lab.plan.project import PROJECT

START_SECONDS = 10.0

SILENT = "silent"

_BOUND = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")


def ends(lab: Lab) -> dict[str, End]:
    """What a link can be between."""
    stations = {station.thing: End(station.thing) for station in facts.STATIONS}
    return {
        **{host.node: End(host.device) for host in records.hosts(lab)},
        **stations,
        facts.AWS.thing: End(AWS_DEVICE, facts.AWS.address),
        "imds": End(AWS_DEVICE, METADATA),
        "artifactory": End(AWS_DEVICE, facts.ARTIFACTORY_ADDRESS),
        EVERYTHING: End(),
    }


def listed(lab: Lab) -> tuple[LinkFault, ...]:
    """The active faults, in the order in which they were set."""
    if not namespaces.exists(lab, ROUTER):
        return ()
    nft = [*namespaces.inside(lab, ROUTER), "nft", "-j", "list"]
    tables = json.loads(shell.output([*nft, "tables", "ip"]))["nftables"]
    if not any(
        item.get("table", {}).get("name") == fault_rules.TABLE for item in tables
    ):
        return ()
    items = json.loads(shell.output([*nft, "table", "ip", fault_rules.TABLE]))
    rules = (item["rule"] for item in items["nftables"] if "rule" in item)
    # A fault in both directions is two rules.
    found = map(fault_rules.parse, dict.fromkeys(rule["comment"] for rule in rules))
    # A host may have been removed since.
    known = ends(lab).keys()
    return tuple(fault for fault in found if {fault.a, fault.b} <= known)


def put(lab: Lab, fault: LinkFault) -> None:
    """Add a fault to the active ones."""
    with _alone(lab):
        _apply(lab, fault_rules.joined(listed(lab), fault))


def clear(lab: Lab) -> None:
    """Repair every link. Packets that a delay holds at this moment are lost.

    Hosts that are off or frozen stay silent.
    """
    with _alone(lab):
        _apply(lab, tuple(f for f in listed(lab) if f.kind == SILENT))


def silence(lab: Lab, node: str) -> None:
    """Drop every packet from and to a host.

    The kernel is shared: it would acknowledge for a host that is frozen, and reset
    the connections of one that lost its power.
    """
    put(lab, LinkFault(SILENT, node, EVERYTHING))


def is_silent(lab: Lab, node: str) -> bool:
    """Whether every packet from and to a host is dropped."""
    return any((f.kind, f.a) == (SILENT, node) for f in listed(lab))


def end_silence(lab: Lab, node: str) -> None:
    """Undo ``silence``; nothing to do if the host is not silent."""
    with _alone(lab):
        present = listed(lab)
        rest = tuple(f for f in present if (f.kind, f.a) != (SILENT, node))
        if rest != present:
            _apply(lab, rest)


@contextmanager
def _alone(lab: Lab) -> Iterator[None]:
    with Path(f"/run/lock/portway-lab-{lab.name}-links").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _apply(lab: Lab, faults: tuple[LinkFault, ...]) -> None:
    if not namespaces.exists(lab, ROUTER):
        return
    known = ends(lab)
    inside = namespaces.inside(lab, ROUTER)
    rules = fault_rules.render_rules(faults, known)
    wanted = fault_rules.delays(faults)
    running = frozenset(_delays_running(lab))
    # First a queue's program, then its packets: without one they would pass at once.
    for milliseconds in wanted - running:
        _start_delay(lab, milliseconds)
    shell.output([*inside, "nft", "-f", "-"], stdin=rules)
    if wanted:
        queues = fault_rules.render_queues(faults, known)
        shell.output([*inside, "iptables-nft-restore"], stdin=queues)
    _stop_delays(lab, running - wanted)


def _delays_running(lab: Lab) -> Iterator[int]:
    """The delays whose queues are bound, by anyone."""
    with namespaces.within(lab, ROUTER):
        for line in _BOUND.read_text().splitlines() if _BOUND.exists() else ():
            yield int(line.split()[0])


def _start_delay(lab: Lab, milliseconds: int) -> None:
    if shutil.which("iptables-nft-restore") is None:
        raise LabError("delays need Debian's package iptables on this machine")
    group = _cgroup(lab, milliseconds)
    processes.kill(group)
    log = lab.directory / "delay.log"
    command = [sys.executable, "-m", "lab.faults.delay", str(milliseconds)]
    process = shell.start(
        [*namespaces.inside(lab, ROUTER), *command],
        log,
        cgroup=group,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"},
    )
    deadline = time.monotonic() + START_SECONDS
    while milliseconds not in _delays_running(lab):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(
                f"packets cannot be delayed here, see {log}: it needs a kernel with "
                "CONFIG_NETFILTER_NETLINK_QUEUE"
            )
        time.sleep(0.02)


def _stop_delays(lab: Lab, delays: Iterable[int]) -> None:
    for milliseconds in delays:
        processes.kill(_cgroup(lab, milliseconds))


def _cgroup(lab: Lab, milliseconds: int) -> Path:
    # With a dot, which no host's name has.
    return processes.cgroup(lab, f"fault.delay-{milliseconds}")
