"""Hosts that freeze, lose power or reboot, and their units that die, hang or stop.

What is wrong with a host is read from the kernel and from the host's own /run, which
is gone when the host boots.
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.aws import stack
from lab.errors import LabError
from lab.faults import links as link_faults
from lab.ground import namespaces, processes, shell
from lab.machines import hosts
from lab.plan import records
from lab.plan.names import AWS, OPERATOR, Lab
from lab.plan.records import Host

SETTLE_SECONDS = 10.0

_STOPPED = "lab/stopped"
"""Where the host's /run names the units that were stopped here."""


def find(lab: Lab, node: str) -> Host:
    """A host by name."""
    known = {host.node: host for host in records.hosts(lab)}
    if node not in known:
        raise LabError(
            f"lab {lab.name} has no host {node!r}; "
            f"it has {', '.join(known) or 'none: bring it up'}"
        )
    return known[node]


def freeze(lab: Lab, node: str) -> None:
    """Stop a whole host where it is; returns when nothing of it runs or is heard."""
    running_host(lab, node)
    link_faults.silence(lab, node)
    _set_frozen(lab, node, "1")


def stall(lab: Lab, node: str, seconds: float) -> None:
    """Stop a host where it is for a moment; its network goes on and keeps packets."""
    running_host(lab, node)
    _set_frozen(lab, node, "1")
    try:
        time.sleep(seconds)
    finally:
        _set_frozen(lab, node, "0")


def thaw(lab: Lab, node: str) -> None:
    """Let a frozen host run on; nothing to do if it runs."""
    host = find(lab, node)
    if hosts.is_running(lab, host):
        link_faults.end_silence(lab, node)
    if is_frozen(lab, node):
        _set_frozen(lab, node, "0")


def is_frozen(lab: Lab, node: str) -> bool:
    """Whether a host was frozen."""
    try:
        file = processes.cgroup(lab, node) / "cgroup.freeze"
        return file.read_text().strip() == "1"
    except OSError:  # it is off
        return False


def _set_frozen(lab: Lab, node: str, value: str) -> None:
    group = processes.cgroup(lab, node)
    (group / "cgroup.freeze").write_text(value)
    events = group / "cgroup.events"
    _wait(lambda: f"frozen {value}" in events.read_text(), f"{node} to change")


def power_off(lab: Lab, node: str) -> None:
    """Cut a host's power, whatever it is doing; its peers get no notice."""
    host = find(lab, node)
    link_faults.silence(lab, node)
    hosts.stop(lab, node)
    # Whoever looks into its namespace sees no address that it had as master.
    namespaces.keep_only(lab, node, host.address)


def power_on(lab: Lab, node: str) -> None:
    """Switch a host on, if it is off, and do not wait for its boot."""
    host = find(lab, node)
    if not hosts.is_running(lab, host):
        link_faults.end_silence(lab, node)
        hosts.start(lab, host)


def has_no_power(lab: Lab, node: str) -> bool:
    """Whether somebody cut a host's power and has not given it back."""
    return link_faults.is_silent(lab, node) and not is_frozen(lab, node)


def reboot(lab: Lab, node: str) -> None:
    """Have a host reboot itself in good order; returns when it has begun to."""
    systemctl(lab, usable_host(lab, node), "--no-block", "reboot")


def powered_off(lab: Lab) -> tuple[Host, ...]:
    """The hosts that are off, for whatever reason."""
    return tuple(h for h in records.hosts(lab) if not hosts.is_running(lab, h))


def power_all_on(lab: Lab) -> None:
    """Switch on every host that AWS does not have stopped, and wait for the boots."""
    off = powered_off(lab)
    if not off:
        return
    if not processes.in_cgroup(processes.cgroup(lab, AWS)):
        raise LabError(f"the AWS of lab {lab.name} does not run: python -m lab up")
    with namespaces.within(lab, OPERATOR):
        stopped = {machine.node for machine in stack.machines() if not machine.on}
    for host in (started := [h for h in off if h.node not in stopped]):
        power_on(lab, host.node)
    for host in started:
        hosts.wait(lab, host)


def kill(lab: Lab, node: str, unit: str) -> None:
    """Kill every process of a unit at once; the host's systemd reacts as it does."""
    (_unit_group(lab, node, unit) / "cgroup.kill").write_text("1")


def hang(lab: Lab, node: str, unit: str) -> None:
    """Stop every process of a unit where it is, those that it starts meanwhile too."""
    usable_host(lab, node)
    group = _unit_group(lab, node, unit)

    def all_stopped() -> bool:
        running = [pid for pid in processes.in_cgroup(group) if not _is_stopped(pid)]
        for pid in running:
            _signal(pid, signal.SIGSTOP)
        return not running

    _wait(all_stopped, f"{unit} on {node} to hang")


def resume(lab: Lab, node: str, unit: str) -> None:
    """Let a unit's stopped processes run on."""
    _resume(_unit_group(lab, node, unit))


def resume_all(lab: Lab, node: str) -> None:
    """Let every stopped process of a host run on."""
    _resume(processes.cgroup(lab, node))


def hung(lab: Lab, node: str) -> tuple[str, ...]:
    """The units of a host that have stopped processes."""
    return tuple(
        group.name
        for group in _units(lab, node)
        if any(map(_is_stopped, processes.in_cgroup(group)))
    )


def _resume(group: Path) -> None:
    for pid in filter(_is_stopped, processes.in_cgroup(group)):
        _signal(pid, signal.SIGCONT)


def stop(lab: Lab, node: str, unit: str) -> None:
    """Have the host's systemd stop a unit, and remember it there."""
    host = usable_host(lab, node)
    name = _known_unit(lab, host, unit)
    systemctl(lab, host, "stop", name)
    file = run_folder(lab, node) / _STOPPED / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def start(lab: Lab, node: str, unit: str) -> None:
    """Have the host's systemd start a unit."""
    host = usable_host(lab, node)
    name = _known_unit(lab, host, unit)
    systemctl(lab, host, "start", name)
    (run_folder(lab, node) / _STOPPED / name).unlink(missing_ok=True)


def stopped(lab: Lab, node: str) -> tuple[str, ...]:
    """The units that were stopped here and do not run again."""
    folder = run_folder(lab, node) / _STOPPED
    if not folder.is_dir():
        return ()
    active = {group.name for group in _units(lab, node)}
    return tuple(sorted(f.name for f in folder.iterdir() if f.name not in active))


def running_host(lab: Lab, node: str) -> Host:
    """A host by name, which must be on."""
    host = find(lab, node)
    if not hosts.is_running(lab, host):
        raise LabError(f"{node} is off: power-on {node} first")
    return host


def usable_host(lab: Lab, node: str) -> Host:
    """A host by name, which must be on and not frozen."""
    host = running_host(lab, node)
    if is_frozen(lab, node):
        raise LabError(f"{node} is frozen: thaw {node} first")
    return host


def systemctl(lab: Lab, host: Host, *words: str) -> str:
    """What a host's systemctl prints."""
    return shell.output(hosts.inside(lab, host, ["systemctl", *words]))


def run_folder(lab: Lab, node: str) -> Path:
    """A running host's /run, which outside is in nobody's view."""
    pid = processes.init_of(processes.cgroup(lab, node))
    if pid is None:
        raise LabError(f"{node} is off: power-on {node} first")
    return Path(f"/proc/{pid}/root/run")


def unit_name(unit: str) -> str:
    """A unit's whole name: a service if it has no suffix."""
    name = unit if "." in unit else f"{unit}.service"
    if not re.fullmatch(r"[A-Za-z0-9:_.@-]+", name) or name.startswith("-"):
        raise LabError(f"{unit!r} cannot name a unit")
    return name


def unit_pids(lab: Lab, node: str, unit: str) -> list[int]:
    """The processes of a unit; none if it does not run."""
    name = unit_name(unit)
    groups = (group for group in _units(lab, node) if group.name == name)
    return [pid for group in groups for pid in processes.in_cgroup(group)]


def _units(lab: Lab, node: str) -> Iterator[Path]:
    """The cgroups of a host's services and scopes that have processes."""
    for folder, _, _ in os.walk(processes.cgroup(lab, node) / "payload"):
        path = Path(folder)
        if path.suffix in (".service", ".scope") and processes.in_cgroup(path):
            yield path


def _unit_group(lab: Lab, node: str, unit: str) -> Path:
    running_host(lab, node)
    name = unit_name(unit)
    groups = {group.name: group for group in _units(lab, node)}
    if name not in groups:
        raise LabError(
            f"{node} runs no unit {name}; it runs {', '.join(sorted(groups))}"
        )
    return groups[name]


def _known_unit(lab: Lab, host: Host, unit: str) -> str:
    name = unit_name(unit)
    loaded = systemctl(lab, host, "show", "--property=LoadState", "--value", name)
    if loaded.strip() != "loaded":
        running = ", ".join(sorted(group.name for group in _units(lab, host.node)))
        raise LabError(f"{host.node} has no unit {name}; it runs {running}")
    return name


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(
                f"waited {SETTLE_SECONDS:.0f} s for {what}: it did not happen"
            )
        time.sleep(0.01)
