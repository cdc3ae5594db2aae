"""What HAProxy's unit does before each reload, whoever asked for it.

It hands the state of the servers to the new process, which would take all of them for
healthy otherwise, and forget who was drained. And it notes why HAProxy is reloaded:
Portway leaves its reason in a file; without one, somebody else did it.
"""

import json
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from portway.contract.metrics import RELOAD_METRICS, RELOAD_PREFIX
from portway.contract.paths import (
    ADMIN_SOCKET,
    HAPROXY_CONFIG,
    RELOAD_METRICS_FILE,
    RELOAD_REASON,
    RELOADS,
    SERVER_STATES,
)
from portway.contract.reloads import BY_HAND, Kind, Reason

PATIENCE = 5.0
"""Seconds that HAProxy's answer may take."""
KEPT = 100
"""Reloads that are remembered one by one."""
FRESH = 60
"""Seconds after which a reason belongs to a reload that was never made."""

VERSION = "1"
"""Of the answer to "show servers state", and of the file: its first line."""
FIELDS = 20
"""Those that a line must have. The optional ones after them are ports and addresses,
which the new configuration knows better."""
ADDRESS, STATE, ADMIN, HEALTH, PORT = 4, 5, 6, 12, 18
DOWN = "0"
"""SRV_ST_STOPPED of srv_op_state."""

Server = tuple[str, str]
"""Backend and name."""
Place = tuple[str, str]
"""Address and port; the port is 0 if it is the one that the connection came in on."""


def main() -> int:
    """Do both; neither keeps the other from being done."""
    failed = 0
    for work in (keep_states, note_reload):
        try:
            work()
        except (OSError, ValueError) as error:
            print(f"{work.__name__}: {error}", file=sys.stderr)
            failed = 1
    return failed


def keep_states(
    admin: Path = ADMIN_SOCKET,
    config: Path = HAPROXY_CONFIG,
    states: Path = SERVER_STATES,
) -> None:
    """Write the file from which the new process reads its servers' states."""
    text = f"{VERSION}\n"
    try:
        wanted = servers(config.read_text().splitlines())
        text += "".join(kept_states(ask(admin).splitlines(), wanted))
    finally:
        write_whole(states, text, 0o600)


def servers(lines: Iterable[str]) -> dict[Server, Place]:
    """Where each server of a configuration leads."""
    found: dict[Server, Place] = {}
    backend = ""
    for line in lines:
        words = line.split()
        if line[:1].isalpha():
            backend = words[1] if words[0] == "backend" else ""
        elif backend and words[:1] == ["server"]:
            address, _, port = words[2].partition(":")
            found[backend, words[1]] = address, port or "0"
    return found


def kept_states(answer: Iterable[str], wanted: dict[Server, Place]) -> Iterator[str]:
    """The lines of a state file that says of each wanted server what is known of it.

    A node is as well in a backend that is new as it is in others. One that leads
    elsewhere now is another node. A new node among known ones is down until it has
    passed its checks; HAProxy would send it clients at once.
    """
    rows = [line.split(" ") for line in answer]
    rows = [row for row in rows if len(row) >= FIELDS and row[0].isdigit()]
    same = {(row[1], row[3]): row for row in rows}
    worst: dict[str, list[str]] = {}
    for row in rows:
        known = worst.setdefault(row[ADDRESS], row)
        if (row[ADMIN] != "0", row[STATE] == DOWN) > (
            known[ADMIN] != "0",
            known[STATE] == DOWN,
        ):
            worst[row[ADDRESS]] = row
    serving = {
        backend
        for (backend, _), (address, _) in wanted.items()
        if address in worst and worst[address][STATE] != DOWN
    }
    for (backend, name), (address, port) in wanted.items():
        row = same.get((backend, name), [])
        if row[ADDRESS : ADDRESS + 1] != [address]:
            row = worst.get(address, [])
        if row:
            kept = row[:FIELDS]
        elif backend in serving and rows:
            kept = rows[0][:FIELDS]
            kept[STATE], kept[ADMIN], kept[HEALTH] = DOWN, "0", "0"
        else:
            continue
        kept[1], kept[3], kept[ADDRESS], kept[PORT] = backend, name, address, port
        yield " ".join(kept) + "\n"


def ask(admin: Path) -> str:
    """HAProxy's answer to "show servers state"."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(admin))
        connection.sendall(b"show servers state\n")
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts).decode(errors="replace")


def note_reload(
    reason: Path = RELOAD_REASON,
    reloads: Path = RELOADS,
    metrics: Path = RELOAD_METRICS_FILE,
) -> None:
    """Count this reload, and remember when and why it was made."""
    known = read(reloads)
    why = take(reason)
    counts = known["counts"]
    counts[why.kind] = counts.get(why.kind, 0) + 1
    now = int(time.time())
    entry = {"time": now, "kind": why.kind, "reason": why.text}
    last = [*known["last"], entry][-KEPT:]
    reloads.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in last)
    text = f'{{"counts": {json.dumps(counts)},\n "last": [\n  {lines}]}}\n'
    write_whole(reloads, text, 0o644)
    if metrics.parent.is_dir():
        text = "".join(metric_lines(counts, now))
        write_whole(metrics, text, 0o644)


def read(reloads: Path) -> dict[str, Any]:
    """What was noted before; nothing if that cannot be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(reloads.read_text())
        counts = {str(Kind(kind)): int(n) for kind, n in found["counts"].items()}
        return {"counts": counts, "last": list(found["last"])}
    return {"counts": {}, "last": []}


def take(path: Path) -> Reason:
    """The reason that Portway left for this reload."""
    try:
        age = time.time() - path.stat().st_mtime
        text = path.read_text()
        path.unlink()
        return Reason.from_json(text) if age < FRESH else BY_HAND
    except (OSError, ValueError):
        return BY_HAND


def metric_lines(counts: dict[str, int], last: int) -> Iterator[str]:
    """Prometheus's text format."""
    values = {
        "reloads_total": {f'{{reason="{kind}"}}': counts.get(kind, 0) for kind in Kind},
        "last_reload_seconds": {"": last},
    }
    for name, (kind, help_) in RELOAD_METRICS.items():
        yield f"# HELP {RELOAD_PREFIX}{name} {help_}\n"
        yield f"# TYPE {RELOAD_PREFIX}{name} {kind}\n"
        for label, value in values[name].items():
            yield f"{RELOAD_PREFIX}{name}{label} {value}\n"


def write_whole(path: Path, text: str, mode: int) -> None:
    """Write a file so that a reader sees either all of it or the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
