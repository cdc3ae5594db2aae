"""Everything that can go wrong in a lab, set and healed: ``python -m lab fault``.

Nothing is remembered here. The active faults are read from the kernel, from AWS's
process and from the hosts, so they outlive the process that set them, and any process
can heal them.
"""

from collections.abc import Iterator

from lab.aws.calls import Call
from lab.aws.faults import METADATA, WAITING, CloudFault
from lab.errors import LabError
from lab.faults import aws as aws_faults
from lab.faults import clocks
from lab.faults import hosts as host_faults
from lab.faults import links as link_faults
from lab.faults.aws import calls
from lab.faults.clocks import prepare as prepare_clock
from lab.faults.hosts import (
    freeze,
    hang,
    kill,
    power_off,
    power_on,
    reboot,
    resume,
    stall,
    start,
    stop,
    thaw,
)
from lab.faults.rules import EVERYTHING, LinkFault
from lab.ground import processes
from lab.plan import facts, records
from lab.plan.names import AWS, OPERATOR, Lab

__all__ = [
    "Call",
    "aws",
    "calls",
    "clock",
    "cut",
    "delay",
    "drop",
    "freeze",
    "hang",
    "heal",
    "heal_aws",
    "heal_hosts",
    "heal_links",
    "imds",
    "in_force",
    "kill",
    "power_off",
    "power_on",
    "prepare_clock",
    "reboot",
    "resume",
    "stall",
    "start",
    "stop",
    "thaw",
]


def cut(lab: Lab, a: str, b: str, *, one_way: bool = False, only: str = "") -> None:
    """Lose every packet between a and b, or only those from a to b.

    Ends are nodes, ``operator``, ``customer``, ``customer-2``, ``aws``, ``imds``,
    ``artifactory`` and ``everything``. ``only="vrrp"`` leaves other protocols alone.
    """
    link_faults.put(lab, LinkFault("cut", a, b, one_way=one_way, only=only))


def drop(lab: Lab, a: str, b: str, percent: float, *, one_way: bool = False) -> None:
    """Lose some packets between a and b, by chance."""
    link_faults.put(lab, LinkFault("drop", a, b, percent, one_way))


def delay(
    lab: Lab, a: str, b: str, milliseconds: float, *, one_way: bool = False
) -> None:
    """Deliver packets between a and b later: a round trip takes twice as much more."""
    link_faults.put(lab, LinkFault("delay", a, b, milliseconds, one_way))


def aws(
    lab: Lab,
    kind: str,
    milliseconds: float = 0,
    *,
    actions: tuple[str, ...] = (),
    source: str | None = None,
) -> None:
    """Make AWS ``slow``, ``late``, ``throttle``, ``fail``, ``deny`` or be ``down``.

    ``slow`` carries requests out and answers late, ``late`` carries them out late too.
    ``source`` limits it to requests from one node, or from ``operator``.
    """
    if kind == "down":
        if actions:
            raise LabError("AWS is down for every action: leave --action out")
        cut(lab, source or EVERYTHING, "aws")
        return
    fault = CloudFault(kind, milliseconds, tuple(actions), _address(lab, source))
    aws_faults.put(lab, fault)


def imds(lab: Lab, kind: str = "fail", *, source: str | None = None) -> None:
    """Have the metadata service answer everything with 503, or give a spot notice.

    Such a notice says that EC2 takes the instance back in two minutes; it stays.
    """
    if kind not in METADATA:
        known = ", ".join(METADATA)
        raise LabError(f"the metadata service cannot {kind!r}: use {known}, or cut")
    fault = CloudFault(METADATA[kind], source=_address(lab, source))
    aws_faults.put(lab, fault)


def clock(lab: Lab, node: str, seconds: float) -> None:
    """Make a node's wall clock wrong by so much, as its services see it; 0 is right.

    Call ``prepare_clock`` before, or the services are restarted for it the first time.
    """
    clocks.step(lab, node, seconds)


def heal(lab: Lab) -> None:
    """Undo everything; returns when hosts that were off have booted."""
    heal_links(lab)
    for host in records.hosts(lab):
        host_faults.thaw(lab, host.node)
    if processes.in_cgroup(processes.cgroup(lab, AWS)):
        heal_aws(lab)
    heal_hosts(lab)


def heal_links(lab: Lab) -> None:
    """Repair every link."""
    link_faults.clear(lab)


def heal_aws(lab: Lab) -> None:
    """Make AWS and the metadata service healthy."""
    aws_faults.clear(lab)


def heal_hosts(lab: Lab) -> None:
    """Have every host on, with nothing frozen, hung or stopped, and its clock right."""
    for host in records.hosts(lab):
        node = host.node
        host_faults.thaw(lab, node)
        host_faults.resume_all(lab, node)
        clocks.correct(lab, node)
    host_faults.power_all_on(lab)
    for host in records.hosts(lab):
        for unit in host_faults.stopped(lab, host.node):
            host_faults.start(lab, host.node, unit)


def in_force(lab: Lab) -> tuple[str, ...]:
    """The active faults, each as the command line that sets it."""
    lines = [line for host in records.hosts(lab) for line in _of_host(lab, host.node)]
    links = link_faults.listed(lab)
    lines += [fault.words for fault in links if fault.kind != link_faults.SILENT]
    if processes.in_cgroup(processes.cgroup(lab, AWS)):
        lines += [_words(lab, fault) for fault in aws_faults.listed(lab)]
    return tuple(lines)


def _of_host(lab: Lab, node: str) -> Iterator[str]:
    if any(host.node == node for host in host_faults.powered_off(lab)):
        yield f"power-off {node}"
        return
    if host_faults.is_frozen(lab, node):
        yield f"freeze {node}"
    yield from (f"hang {node} {unit}" for unit in host_faults.hung(lab, node))
    yield from (f"stop {node} {unit}" for unit in host_faults.stopped(lab, node))
    if offset := clocks.offset(lab, node):
        yield f"clock {node} {offset:.10g}"


def _words(lab: Lab, fault: CloudFault) -> str:
    words = ["aws", fault.kind]
    if fault.kind in METADATA.values():
        words = fault.kind.split("-")
    if fault.kind in WAITING:
        words.append(f"{fault.milliseconds:g}")
    for action in fault.actions:
        words += ["--action", action]
    if fault.source:
        nodes = {address: name for name, address in _addresses(lab).items()}
        words += ["--from", nodes.get(fault.source, fault.source)]
    return " ".join(words)


def _address(lab: Lab, source: str | None) -> str:
    """The address that a node asks AWS from; empty for no node in particular."""
    if source is None:
        return ""
    known = _addresses(lab)
    if source not in known:
        raise LabError(
            f"no request to AWS comes from {source!r}; use {', '.join(known)}"
        )
    return known[source]


def _addresses(lab: Lab) -> dict[str, str]:
    hosts = {host.node: host.address for host in records.hosts(lab)}
    return {**hosts, OPERATOR: facts.OPERATOR_STATION.address}
