"""What the mover tells of itself: a status file, metrics, and words for people."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from portway.node.address import vrrp
from portway.node.address.config import (
    METRICS_FOLDER,
    OVERDUE,
    STATUS,
    TRANSFER,
    Config,
    gives_away,
)
from portway.node.address.memory import Memory
from portway.node.address.places import AddressKind

METRICS = {
    "vrrp_master": "Whether this node is VRRP master.",
    "address_held": "Whether AWS leads the address here.",
    "agrees": "Whether AWS and VRRP agree about this node.",
    "handed_over": "Whether this node has given the address away on purpose.",
    "looked_at_seconds": "When AWS was last asked and answered, since 1970.",
    "last_move_seconds": "When the address was last moved here, since 1970.",
    "moves_total": "Calls that moved the address here.",
    "refused": "Whether this node may not move the address if it must.",
    "failed_calls": "Calls of EC2 that failed since the last one that did not.",
    "failed_calls_total": "Calls of EC2 that failed.",
}
COUNTERS = ("moves_total", "failed_calls_total")


def save(config: Config, memory: Memory, path: Path = STATUS) -> None:
    """Write the state for the next start of this program and for whoever asks."""
    _write_whole(path, json.dumps(status(config, memory), indent=2) + "\n")


def status(config: Config, memory: Memory) -> dict[str, Any]:
    """Everything that is known, as JSON has it."""
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
        **asdict(memory),
        "keepalived": vrrp.process_identity(),
    }


def agrees(config: Config, memory: Memory) -> bool:
    """Whether AWS leads the address here exactly if this node is VRRP master."""
    if config.kind is AddressKind.VRRP:
        return True
    if not memory.looked_at:
        return False  # nobody knows yet
    own = [holder == config.interface_id for holder in memory.holders]
    if memory.vrrp_state is vrrp.State.MASTER:
        return bool(own) and all(own)
    return not any(own)


def resume(path: Path = STATUS) -> Memory:
    """What the program knew when it last ran.

    What a keepalived told which no longer runs does not count; nor does it count as
    arrived what a transition in between may have undone.
    """
    try:
        saved = json.loads(path.read_text())
        known = {name: saved[name] for name in Memory.__dataclass_fields__}
        known["vrrp_state"] = vrrp.State(known["vrrp_state"])
        known["holders"] = tuple(known["holders"])
        for name, usual in asdict(Memory()).items():
            if not isinstance(known[name], type(usual)):
                raise TypeError(f"{name} is {known[name]!r}")
        memory = Memory(**known)
    except (OSError, KeyError, TypeError, ValueError):
        return Memory()
    if saved.get("keepalived") != vrrp.process_identity():
        memory.vrrp_state, memory.arrived = vrrp.State.STOP, False
        memory.priority = 0
    return memory


def is_handed_over(path: Path = TRANSFER) -> bool:
    """Whether a planned transfer keeps the address away from this node."""
    try:
        return gives_away(path.read_text())
    except (OSError, UnicodeDecodeError):
        return False


def save_metrics(config: Config, memory: Memory, folder: Path = METRICS_FOLDER) -> None:
    """Write Prometheus's text format, if there is a collector to read it."""
    if folder.is_dir():
        text = "".join(_metric_lines(config, memory))
        _write_whole(folder / "portway_address.prom", text)


def _metric_lines(config: Config, memory: Memory) -> Iterator[str]:
    asks_aws = config.kind is not AddressKind.VRRP
    values: dict[str, float] = {
        "vrrp_master": memory.vrrp_state is vrrp.State.MASTER,
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
        if name == "looked_at_seconds" and not asks_aws:
            continue  # or it would seem to be overdue
        kind = "counter" if name in COUNTERS else "gauge"
        yield f"# HELP portway_address_{name} {help_}\n"
        yield f"# TYPE portway_address_{name} {kind}\n"
        label = f'{{stack="{config.stack}"}}'
        yield f"portway_address_{name}{label} {float(values[name]):.17g}\n"


def words(told: dict[str, Any], now: float) -> str:
    """A status for people."""

    def ago(when: float) -> str:
        return f"{max(0, now - when):.0f} s ago" if when else "never"

    lines = []
    if now - told["written"] > OVERDUE:
        lines.append(
            f"NOT UPDATED for {now - told['written']:.0f} s: "
            "systemctl status portway-address"
        )
    lines += [
        f"{told['node']}: VRRP {told['vrrp_state']} since {ago(told['vrrp_since'])}",
        _where(told, ago(told["looked_at"])),
        f"moved here {told['moves']} times, last {ago(told['last_move'])}",
    ]
    if told["failures"]:
        lines.append(
            f"{told['failures']} calls failed since the last good one; last "
            f"{ago(told['last_failure_at'])}: {told['last_failure']}"
        )
    if told["refused"]:
        lines.append(f"COULD NOT take the address: {told['refused']}")
    if told["handed_over"]:
        lines.append(
            "handed over on purpose (deploys/transfer.py): the other node is preferred "
            "while it is healthy"
        )
    if told["looked_at"] and not told["agrees"]:
        lines.append("AWS and VRRP DO NOT AGREE about this node")
    return "\n".join(lines)


def _where(told: dict[str, Any], when: str) -> str:
    what = f"{told['address']} ({told['kind']})"
    if told["kind"] == AddressKind.VRRP:
        return f"{what} is where VRRP is master"
    if not told["looked_at"]:
        return f"{what}: AWS has not told yet where it leads"
    return f"{what} leads to {told['holder'] or 'no one node'}, AWS last asked {when}"


def read(path: Path = STATUS) -> dict[str, Any]:
    """The status as it was last written. OSError or ValueError if there is none."""
    told: dict[str, Any] = json.loads(path.read_text())
    written = path.stat().st_mtime
    return told | {"handed_over": is_handed_over(), "written": written}


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or what was there before."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def show(path: Path = STATUS) -> str:
    """The status for people, read from its file."""
    return words(read(path), time.time())
