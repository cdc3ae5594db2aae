"""What the mover reports: a status file, metrics, and a text for people."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from portway.contract.metrics import COUNTERS, METRICS, PREFIX
from portway.contract.mover import OVERDUE, MoverConfig
from portway.contract.paths import METRICS_FILE, STATUS
from portway.node.address import keepalived
from portway.node.address.memory import Memory
from portway.node.address.standing import is_handed_over
from portway.node.host import write_whole


def save(config: MoverConfig, memory: Memory, path: Path = STATUS) -> None:
    """Write the status for people, and for this program's next start."""
    write_whole(path, json.dumps(status(config, memory), indent=2) + "\n")


def status(config: MoverConfig, memory: Memory) -> dict[str, Any]:
    """Everything that is known, as JSON values."""
    names = {
        config.interface_id: config.node,
        config.peer_interface_id: config.peer,
        None: None,
    }
    holders = [names.get(holder, holder) for holder in memory.holders]
    return {
        "node": config.node,
        "peer": config.peer,
        "kind": config.kind,
        "address": config.address,
        "holder": holders[0] if len(set(holders)) == 1 else None,
        "agrees": agrees(config, memory),
        "fail_back": config.fail_back,
        **asdict(memory),
        "keepalived": keepalived.process_identity(),
    }


def agrees(config: MoverConfig, memory: Memory) -> bool:
    """Whether the address points here exactly if this node is VRRP master."""
    if not memory.looked_at:
        return False  # EC2 has not answered yet
    own = [holder == config.interface_id for holder in memory.holders]
    if memory.vrrp_state is keepalived.State.MASTER:
        return bool(own) and all(own)
    return not any(own)


def resume(path: Path = STATUS) -> Memory:
    """What the program knew when it last ran.

    If keepalived has been restarted since, what the old one reported does not count,
    nor does the address count as arrived: a transition in between may have moved it.
    """
    try:
        saved = json.loads(path.read_text())
        known = {name: saved[name] for name in Memory.__dataclass_fields__}
        known["vrrp_state"] = keepalived.State(known["vrrp_state"])
        known["holders"] = tuple(known["holders"])
        for name, usual in asdict(Memory()).items():
            if not isinstance(known[name], type(usual)):
                raise TypeError(f"{name} is {known[name]!r}")
        memory = Memory(**known)
    except (OSError, KeyError, TypeError, ValueError):
        return Memory()
    if saved.get("keepalived") != keepalived.process_identity():
        memory.vrrp_state, memory.arrived = keepalived.State.STOP, False
        memory.priority = memory.standing = 0
    return memory


def save_metrics(
    config: MoverConfig, memory: Memory, path: Path = METRICS_FILE
) -> None:
    """Write Prometheus's text format, if the node exporter's folder is there."""
    if path.parent.is_dir():
        write_whole(path, "".join(_metric_lines(config, memory)))


def _metric_lines(config: MoverConfig, memory: Memory) -> Iterator[str]:
    values: dict[str, float] = {
        "vrrp_master": memory.vrrp_state is keepalived.State.MASTER,
        "address_held": status(config, memory)["holder"] == config.node,
        "agrees": agrees(config, memory),
        "handed_over": is_handed_over(),
        "looked_at_seconds": memory.looked_at,
        "last_move_seconds": memory.last_move,
        "moves_total": memory.moves,
        "refused": bool(memory.refused),
        "failed_calls": memory.failures,
        "failed_calls_total": memory.failures_in_all,
    }
    for name, help_ in METRICS.items():
        kind = "counter" if name in COUNTERS else "gauge"
        yield f"# HELP {PREFIX}{name} {help_}\n"
        yield f"# TYPE {PREFIX}{name} {kind}\n"
        label = f'{{stack="{config.stack}"}}'
        yield f"{PREFIX}{name}{label} {float(values[name]):.17g}\n"


def words(known: dict[str, Any], now: float) -> str:
    """A status as people read it."""

    def ago(when: float) -> str:
        return f"{max(0, now - when):.0f} s ago" if when else "never"

    lines = []
    if now - known["written"] > OVERDUE:
        lines.append(
            f"NOT UPDATED for {now - known['written']:.0f} s: "
            "systemctl status portway-address"
        )
    lines += [
        f"{known['node']}: VRRP {known['vrrp_state']} since {ago(known['vrrp_since'])}",
        _where(known, ago(known["looked_at"])),
        f"moved here {known['moves']} times, last {ago(known['last_move'])}",
    ]
    if known["failures"]:
        lines.append(
            f"{known['failures']} calls failed since the last good one; last "
            f"{ago(known['last_failure_at'])}: {known['last_failure']}"
        )
    if known["refused"]:
        lines.append(f"COULD NOT take the address: {known['refused']}")
    if known["handed_over"]:
        lines.append(
            "handed over on purpose (deploys/transfer.py): the other node is preferred "
            "while it is healthy"
        )
    if known["waits_since"]:
        waited = max(0.0, now - known["waits_since"])
        when = "when deploys/transfer.py says so"
        if known["fail_back"] is not None:
            when = f"in {max(0.0, known['fail_back'] - waited):.0f} s (fail_back)"
        lines.append(f"serves again for {waited:.0f} s; takes the address back {when}")
    if known["looked_at"] and not known["agrees"]:
        lines.append("AWS and VRRP DO NOT AGREE about this node")
    return "\n".join(lines)


def _where(known: dict[str, Any], when: str) -> str:
    what = f"{known['address']} ({known['kind']})"
    if not known["looked_at"]:
        return f"{what}: EC2 has not said yet where it points"
    holder = known["holder"] or "no single node"
    return f"{what} points to {holder}, EC2 last asked {when}"


def read(path: Path = STATUS) -> dict[str, Any]:
    """The status as it was last written. OSError or ValueError if there is none."""
    known: dict[str, Any] = json.loads(path.read_text())
    written = path.stat().st_mtime
    return known | {"handed_over": is_handed_over(), "written": written}


def show(path: Path = STATUS) -> str:
    """The status for people, read from its file."""
    return words(read(path), time.time())
