"""Wall clocks that are wrong for a host's services, while time goes on as it did.

Hosts share the kernel's clock. Services that were prepared ask libfaketime instead,
which adds what a file in the host's /run says; monotonic clocks are left alone.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.faults import hosts as host_faults
from lab.machines import hosts
from lab.plan.files import write_whole
from lab.plan.names import Lab
from lab.plan.records import Host

UNITS = ("keepalived.service", "portway-address.service")
"""Whose clocks are stepped by default, as far as the host has them."""

_OFFSET = "lab/clock"
_DROP_IN = "lab-clock.conf"
_SIGN = b"FAKETIME_TIMESTAMP_FILE="


def prepare(lab: Lab, node: str, units: Sequence[str] = UNITS) -> None:
    """Let units read a clock that can be stepped; restarts those that do not yet.

    Lasts until the host boots.
    """
    host = host_faults.usable_host(lab, node)
    names = [
        name for name in map(host_faults.unit_name, units) if _has(lab, host, name)
    ]
    if not names:
        raise LabError(f"{node} has no unit of {', '.join(units)}: deploy to it first")
    run = host_faults.run_folder(lab, node)
    (run / _OFFSET).parent.mkdir(parents=True, exist_ok=True)
    if not (run / _OFFSET).exists():
        write_whole(run / _OFFSET, _text(0))
    for name in names:
        folder = run / "systemd" / "system" / f"{name}.d"
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _DROP_IN, _drop_in(lab, host))
    host_faults.systemctl(lab, host, "daemon-reload")
    stale = [name for name in names if not _asks_libfaketime(lab, node, name)]
    if stale:
        host_faults.systemctl(lab, host, "try-restart", *stale)


def step(lab: Lab, node: str, seconds: float) -> None:
    """Make the clock of a node's prepared services wrong by so much; 0 corrects it.

    They see it the next time they ask. If none was prepared, ``UNITS`` are, which
    restarts them.
    """
    host_faults.usable_host(lab, node)
    if not math.isfinite(seconds):
        raise LabError(f"no clock can be wrong by {seconds} seconds")
    run = host_faults.run_folder(lab, node)
    if not any((run / "systemd" / "system").glob(f"*.d/{_DROP_IN}")):
        prepare(lab, node)
    write_whole(run / _OFFSET, _text(seconds))


def offset(lab: Lab, node: str) -> float:
    """How wrong a host's clock is, in seconds."""
    try:
        return float((host_faults.run_folder(lab, node) / _OFFSET).read_text())
    except (OSError, LabError):  # never stepped, or off
        return 0.0


def correct(lab: Lab, node: str) -> None:
    """Correct a host's clock."""
    if offset(lab, node):
        write_whole(host_faults.run_folder(lab, node) / _OFFSET, _text(0))


def _text(seconds: float) -> str:
    return f"{seconds:+.3f}\n"


def _drop_in(lab: Lab, host: Host) -> str:
    root = hosts.root(lab, host)
    libraries = sorted(root.glob("usr/lib/*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise LabError(
            f"the image of {host.node} is too old, it has no libfaketime: "
            "take the lab down and bring it up"
        )
    settings = {
        "LD_PRELOAD": f"/{libraries[0].relative_to(root)}",
        "FAKETIME_TIMESTAMP_FILE": f"/run/{_OFFSET}",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Files keep their times.
        "NO_FAKE_STAT": "1",
    }
    lines = [f'Environment="{key}={value}"' for key, value in settings.items()]
    return "\n".join(["[Service]", *lines]) + "\n"


def _has(lab: Lab, host: Host, name: str) -> bool:
    loaded = host_faults.systemctl(
        lab, host, "show", "--property=LoadState", "--value", name
    )
    return loaded.strip() == "loaded"


def _asks_libfaketime(lab: Lab, node: str, name: str) -> bool:
    pids = host_faults.unit_pids(lab, node, name)
    return all(_SIGN in environment for environment in _environments(pids))


def _environments(pids: Sequence[int]) -> Iterator[bytes]:
    for pid in pids:
        try:
            yield Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # it has ended
            continue
