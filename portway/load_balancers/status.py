"""How a load balancer is doing: what HAProxy, keepalived and our programs say."""

import json
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from portway.contract.mover import OVERDUE
from portway.contract.paths import (
    ADDRESS_COMMAND,
    ADMIN_SOCKET,
    ASKED,
    STATUS,
    STREAMS_STATUS,
    TRANSFER,
)
from portway.contract.transfer import is_given_away
from portway.load_balancers.reasons import reason
from portway.ops.framing import NodeFact

FORGOTTEN = 5
"""Seconds after which keepalived, which looks at the check every second, does not."""


@dataclass(frozen=True, slots=True)
class DownServer:
    """An application node that gets no connections, in one backend."""

    backend: str
    name: str
    state: str
    """HAProxy's word for it, such as ``DOWN`` or ``MAINT``."""
    reason: str
    """What its last check found, in HAProxy's words; it may be empty."""

    @property
    def why(self) -> str:
        """The reason; what people did to it comes first."""
        return self.reason if self.state.startswith("DOWN") else self.state


@dataclass(frozen=True, slots=True)
class LoadBalancerStatus:
    """How a load balancer is doing."""

    frontends: frozenset[str] = frozenset()
    """Those that accept connections."""
    backends: frozenset[str] = frozenset()
    """Those with at least one server that passed a check."""
    down: tuple[DownServer, ...] = ()
    """Servers that get no connections."""
    keepalived_active: bool = False
    holds_vrrp_address: bool = False
    mover_active: bool = False
    mover_failure: str = ""
    """Why the address mover cannot do its work in AWS now; empty if it can."""
    seen_holder: str = ""
    """Where the address points in AWS, as the mover last saw it; empty if it has not
    seen that, or it is at no single node."""
    keeper_active: bool = False
    """Whether the stream keeper runs and reports."""
    keeper_problem: str = ""
    """What keeps it from its work now; empty if nothing does."""
    older: tuple[int, int] = (0, 0)
    """Older HAProxy workers, and the streams in them."""
    older_for: str = ""
    """How long ago the oldest of them was started, as HAProxy says it."""
    handed_over: bool = False
    """Whether it has handed the address over on purpose."""
    check_active: bool = False
    check_counts: bool = False
    """Whether keepalived has lately asked for the check's heartbeat, so that a failure
    of HAProxy moves the address."""
    unsafe_paths: tuple[str, ...] = ()
    """Parts of the path of keepalived's script that others than root may write to."""
    waited: float | None = None
    """Seconds for which it could have taken its address back from its peer; None if it
    does not wait for that."""

    @property
    def is_vrrp_master(self) -> bool:
        return self.keepalived_active and self.holds_vrrp_address


class LoadBalancerFacts(NodeFact[LoadBalancerStatus]):
    """The status of a load balancer, in one round trip."""

    def command(self, vrrp_address: str) -> str:
        """A script that never fails; no output means that nothing answers."""
        return _STATUS_SCRIPT.format(
            socket=ADMIN_SOCKET,
            address=shlex.quote(f"{vrrp_address}/32"),
            status=STATUS,
            keeper=STREAMS_STATUS,
            transfer=TRANSFER,
            asked=ASKED,
        )

    def process(self, output: list[str]) -> LoadBalancerStatus:
        """The status that those lines describe."""
        rows = [line.split(" ") for line in output]
        return LoadBalancerStatus(
            frontends=frozenset(row[1] for row in rows if row[0] == "frontend"),
            backends=frozenset(row[1] for row in rows if row[0] == "backend"),
            down=tuple(_down(output)),
            keepalived_active=["keepalived", "active"] in rows,
            holds_vrrp_address=["vrrp", "master"] in rows,
            mover_active=["mover", "active"] in rows and _is_recent(rows, "age"),
            mover_failure=_failure(output),
            seen_holder=str(_said(output).get("holder") or ""),
            check_active=["check", "active"] in rows,
            check_counts=0 <= _number(rows, "asked") <= FORGOTTEN,
            unsafe_paths=tuple(row[1] for row in rows if row[0] == "unsafe"),
            waited=_waited(output),
            keeper_active=["keeper", "active"] in rows
            and _is_recent(rows, "keeper_age"),
            **_older(output),
            handed_over=any(
                row[0] == "transfer" and is_given_away(" ".join(row[1:]))
                for row in rows
            ),
        )

    @staticmethod
    def default() -> LoadBalancerStatus:
        """A node on which nothing runs."""
        return LoadBalancerStatus()


def _down(output: list[str]) -> Iterator[DownServer]:
    for line in output:
        kind, *words = line.split("\t")
        if kind == "down" and len(words) == 6:
            backend, name, state, *check = words
            status, code, text = check
            # A text with a comma is quoted, and ends at the comma here.
            yield DownServer(
                backend, name, state, reason(status, code, text.strip('"'))
            )


def _is_recent(rows: list[list[str]], name: str) -> bool:
    """Whether a program has written its status lately; a hung one does not."""
    return _number(rows, name) <= OVERDUE


def _number(rows: list[list[str]], name: str) -> float:
    """The number in the row of that name; infinite if there is none."""
    found = [row[1] for row in rows if row[0] == name and len(row) == 2]
    numbers = [int(text) for text in found if text.lstrip("-").isdecimal()]
    return numbers[0] if numbers else inf


def _failure(output: list[str]) -> str:
    """Why the address mover cannot do its work, if it cannot."""
    status = _said(output)
    try:
        failed = status["last_failure"] if status["failures"] else ""
        return str(status["refused"] or failed)
    except KeyError:
        return ""


def _waited(output: list[str]) -> float | None:
    """Seconds since the mover could take the address back, if it waits for that."""
    now = _number([line.split(" ") for line in output], "now")
    since = _said(output).get("waits_since")
    return max(0.0, now - since) if isinstance(since, float) and since else None


def _said(output: list[str]) -> dict[str, Any]:
    """What the mover says of itself; nothing if that is not what it writes."""
    for line in output:
        kind, _, text = line.partition(" ")
        if kind == "status":
            with suppress(ValueError):
                said = json.loads(text)
                return said if isinstance(said, dict) else {}
    return {}


def _older(output: list[str]) -> dict[str, Any]:
    """What the stream keeper says of older workers."""
    for line in output:
        kind, _, text = line.partition(" ")
        if kind == "keeper_status":
            try:
                known = json.loads(text)
                found = known["older"]
                streams = sum(int(worker["streams"]) for worker in found)
                ages = [str(worker["uptime"]) for worker in found]
                return {
                    "keeper_problem": str(known.get("problem", "")),
                    "older": (len(found), streams),
                    "older_for": max(ages, key=lambda a: (len(a), a), default=""),
                }
            except (KeyError, TypeError, ValueError):
                return {}
    return {}


class AddressPermissions(NodeFact[list[str]]):
    """The calls that EC2 would refuse the node to move the address, a line for each.

    The node tries every call with DryRun and its own credentials.
    """

    def command(self) -> str:
        """Print what is refused and then ``refused``; never fail."""
        return f"{ADDRESS_COMMAND} permissions 2>&1 || echo refused"

    def process(self, output: list[str]) -> list[str]:
        """The lines, without the last word."""
        if "refused" not in output:
            return []  # whatever else was printed, the command succeeded
        found = [line for line in output if line.strip() and line != "refused"]
        return found or ["portway-address permissions failed"]

    @staticmethod
    def default() -> list[str]:
        """Nothing is refused."""
        return []


_STATUS_SCRIPT = r"""
echo "show stat" | timeout 4 socat -t4 - UNIX-CONNECT:{socket} 2>/dev/null | awk -F, '
    $2 == "FRONTEND" && ($18 == "OPEN" || $18 == "FULL") {{ print "frontend", $1 }}
    $2 == "FRONTEND" || $2 == "BACKEND" {{ next }}
    $18 ~ /^(DOWN|DRAIN|MAINT|NOLB)/ {{
        print "down\t" $1 "\t" $2 "\t" $18 "\t" $37 "\t" $38 "\t" $57
    }}
    $18 ~ /^UP/ && $37 ~ /OK/ && !seen[$1]++ {{ print "backend", $1 }}'
set -- keepalived mover check keeper
systemctl is-active keepalived portway-address portway-check portway-streams |
    while read -r state; do echo "$1 $state"; shift; done
if ip -o -4 address show dev lo | grep -qF " {address} "; then echo vrrp master; fi
now=$(date +%s)
echo now "$now"
stat -c '%Y %n' {status} {asked} {keeper} 2>/dev/null | while read -r changed file; do
    case $file in
        {status}) name=age ;;
        {asked}) name=asked ;;
        {keeper}) name=keeper_age ;;
    esac
    echo "$name" $((now - changed))
done
[ ! -f {status} ] || echo status "$(tr -d '\n' <{status})"
[ ! -f {keeper} ] || echo keeper_status "$(tr -d '\n' <{keeper})"
[ ! -f {transfer} ] || echo transfer "$(head -c 8 {transfer})"
# keepalived drops a script below these (check_security in its lib/notify.c).
find / /usr /usr/bin "$(readlink -f /usr/bin/sh)" -maxdepth 0 \( ! -user root -o \
    ! -perm -1000 \( -perm -002 -o -perm -020 ! -group root \) \) -printf 'unsafe %p\n'
"""
