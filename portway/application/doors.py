"""How an application node takes itself out of service: by its packet filter.

It refuses the load balancers' health checks and counts them: after ``fall`` of them
HAProxy sends no new connection there, and streams go on. Then they get time to end. All
of it is in one table of the kernel's, so a reboot ends it; the mark beside it tells
every run. A run does this, and a node that is about to stop, so nothing here knows how
scripts are run.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

from portway.contract.paths import OUT_OF_SERVICE

TABLE = "portway"
CHECKED_SECONDS = 20.0
"""How long a load balancer may take to make its checks, besides the time between two;
one that is dead makes none."""
PAUSE_SECONDS = 0.5
TELL_EVERY = 5.0
"""Seconds between two lines of progress."""
_REFUSE = "reject with tcp reset"
_SET = f"mkdir -p {OUT_OF_SERVICE.parent} && touch {OUT_OF_SERVICE} && nft -f -"
_COUNT = f"nft -j list counters table ip {TABLE}"
FORGET = (
    f"nft -f - <<END && rm -f {OUT_OF_SERVICE}\n"
    f"table ip {TABLE}\ndelete table ip {TABLE}\nEND"
)
"""A script that lets everybody in."""
CHANGING = f"[ ! -e {OUT_OF_SERVICE} ] || echo changing >{OUT_OF_SERVICE}"
"""A script that notes, if the node is out of service, that it is not what it was."""
_STREAMS = "ss -Htn state connected exclude time-wait exclude syn-recv"

Run = Callable[[str, str | None], list[str]]
"""Runs a script on the node, with a standard input; what it printed."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Whom a node lets in, and where."""

    load_balancers: Mapping[str, str]
    """Their addresses, by name."""
    health_port: int
    ports: tuple[int, ...]
    """Those of clients."""
    fall: int
    """After how many failed health checks HAProxy sends it no clients."""
    rise: int
    """After how many good ones it does again."""
    backends: int
    """How many of HAProxy's backends check it, each for itself."""
    interval: int
    """Seconds between two checks of one of them."""
    drain_timeout: int
    """How many seconds streams have to end."""

    def to_json(self) -> str:
        """All of it, for a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Doors":
        """What a file says; ValueError if that is something else."""
        try:
            found = cls(**json.loads(text))
            ports = tuple(int(port) for port in found.ports)
            return cls(**asdict(found) | {"ports": ports})
        except TypeError as error:
            raise ValueError(str(error)) from error

    def counting(self) -> str:
        """Packet filter: let everybody in, and count the health checks."""
        return self._table(
            f"ip saddr {address} tcp dport {self.health_port} counter name {name}"
            for name, address in self.load_balancers.items()
        )

    def unwell(self) -> str:
        """Refuse health checks, and count those of load balancers."""
        check = f"tcp dport {self.health_port}"
        return self._table(
            (
                *(
                    f"ip saddr {address} {check} counter name {name} {_REFUSE}"
                    for name, address in self.load_balancers.items()
                ),
                f"{check} {_REFUSE}",
            )
        )

    def closed(self) -> str:
        """Refuse health checks, and new connections of clients.

        From everybody: a load balancer that was launched meanwhile is not known here,
        and HAProxy takes servers to be well until it has looked.
        """
        ports = ", ".join(str(port) for port in (self.health_port, *self.ports))
        return self._table([f"tcp dport {{ {ports} }} {_REFUSE}"])

    def _table(self, rules: Iterable[str]) -> str:
        """A table in place of the one before, at once."""
        lines = (
            f"table ip {TABLE}",
            f"delete table ip {TABLE}",
            f"table ip {TABLE} {{",
            *(f"counter {name} {{ }}" for name in self.load_balancers),
            "chain input {",
            "type filter hook input priority filter; policy accept;",
            'iifname "lo" accept',
            "tcp flags & (fin | syn | rst | ack) != syn accept",
            *rules,
            "}",
            "}",
        )
        return "\n".join((*lines, ""))

    def streams(self, lines: Iterable[str]) -> int:
        """How many connections to clients' ports ``ss`` shows, but the node's own."""
        count = 0
        for line in lines:
            ends = (end.rpartition(":") for end in line.split()[-2:])
            (own, _, port), (source, _, _) = ends
            count += source != own and int(port) in self.ports
        return count


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Closes and opens them on the node that ``run`` is about.

    Whatever ``run`` raises comes through.
    """

    doors: Doors
    run: Run
    tell: Callable[[str], None]
    pause: Callable[[float], None] = time.sleep

    def close(self) -> None:
        """Let no new client in, and wait until the streams have ended.

        Those that have not after ``drain_timeout`` are left.
        """
        self.run(_SET, self.doors.unwell())
        self._wait_for_checks(self.doors.fall, "sends it clients until its")
        self.stay_closed()

    def stay_closed(self) -> None:
        """Go on with it where the load balancers know already."""
        self.run(_SET, self.doors.closed())
        self._wait_for_streams()

    def open(self) -> None:
        """Let everybody in, and wait until the load balancers have seen that."""
        self.run(_SET, self.doors.counting())
        # One more: the last one has only begun.
        self._wait_for_checks(self.doors.rise + 1, "sends it no clients until its")
        self.run(FORGET, None)

    def _wait_for_checks(self, count: int, what: str) -> None:
        """Wait until each load balancer has made so many health checks."""
        seconds = CHECKED_SECONDS + 2 * self.doors.interval
        deadline = time.monotonic() + seconds
        needed = count * self.doors.backends
        while late := [n for n, made in self._checks().items() if made < needed]:
            if time.monotonic() >= deadline:
                self.tell(
                    f"{', '.join(late)} {what} health check was made {needed} times, "
                    f"which it was not within {seconds:.0f} s: going on"
                )
                return
            self.pause(PAUSE_SECONDS)

    def _checks(self) -> dict[str, int]:
        """How many health checks each load balancer has made since they count."""
        found = json.loads("\n".join(self.run(_COUNT, None)))["nftables"]
        made = {c["name"]: int(c["packets"]) for i in found if (c := i.get("counter"))}
        return {name: made.get(name, 0) for name in self.doors.load_balancers}

    def _wait_for_streams(self) -> None:
        started = time.monotonic()
        reported = started - TELL_EVERY
        patience = self.doors.drain_timeout
        while left := self.doors.streams(self.run(_STREAMS, None)):
            now = time.monotonic()
            if now - started >= patience:
                self.tell(f"closing {left} streams")
                return
            if now - reported >= TELL_EVERY:
                reported = now
                took = f"{now - started:.0f} s of {patience}"
                self.tell(f"draining, {left} streams left, {took}")
            self.pause(PAUSE_SECONDS)
