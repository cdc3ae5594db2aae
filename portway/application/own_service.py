"""An application node that takes itself out of service, and puts itself back.

A node that deploys to itself asks no load balancer. It refuses their health checks and
counts them: after ``health_fall`` of them HAProxy sends no new connection there, and
streams go on. They have until ``drain_timeout`` to end. All of it is in one table of
the kernel's packet filter, so a reboot ends it; the mark beside it tells every run.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import gevent
from pyinfra import host, logger

from portway.application.facts import PeersHealth
from portway.contract.paths import OUT_OF_SERVICE
from portway.errors import PortwayError
from portway.load_balancers.pulled import DID_NOT_SERVE
from portway.model.cluster import Cluster
from portway.model.stack import Node, Role
from portway.ops.remote import ask, run

TABLE = "portway"
CHECKED_SECONDS = 30.0
"""How long a load balancer may take to make its checks; one that is dead makes none."""
PAUSE_SECONDS = 0.5
TELL_EVERY = 5.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Whom a node lets in, by whom and where it is asked."""

    load_balancers: dict[str, str]
    """Their addresses, by name."""
    health_port: int
    ports: tuple[int, ...]
    """Those of clients."""

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
        """Refuse health checks, and new connections from load balancers."""
        ports = ", ".join(str(port) for port in self.ports)
        rules = [f"tcp dport {self.health_port} {_REFUSE}"]
        if self.ports and self.load_balancers:
            sources = ", ".join(self.load_balancers.values())
            rules.append(f"ip saddr {{ {sources} }} tcp dport {{ {ports} }} {_REFUSE}")
        return self._table(rules)

    def _table(self, rules: Iterable[str]) -> str:
        """A table in place of the one before, at once."""
        counters = [f"counter {name} {{ }}" for name in self.load_balancers]
        lines = (
            f"table ip {TABLE}",
            f"delete table ip {TABLE}",
            f"table ip {TABLE} {{",
            *counters,
            "chain input {",
            "type filter hook input priority filter; policy accept;",
            'iifname "lo" accept',
            "tcp flags & (fin | syn | rst | ack) != syn accept",
            *rules,
            "}",
            "}",
        )
        return "\n".join((*lines, ""))


_REFUSE = "reject with tcp reset"
_SET = f"mkdir -p {OUT_OF_SERVICE.parent} && touch {OUT_OF_SERVICE} && nft -f -"
_COUNT = f"nft -j list counters table ip {TABLE}"
_FORGET = (
    f"nft -f - <<END && rm -f {OUT_OF_SERVICE}\n"
    f"table ip {TABLE}\ndelete table ip {TABLE}\nEND"
)
_STREAMS = "ss -Htn state connected exclude time-wait exclude syn-recv"


@dataclass(frozen=True, slots=True)
class ByItself:
    """Takes the current host out of service, and puts it back."""

    cluster: Cluster
    node: Node
    ports: frozenset[int]
    """Those that its process has open, or is to have."""
    is_well: bool
    """Whether it is healthy now."""
    begin: Callable[[], None] = lambda: None
    """Called before it is changed; PortwayError if that must not be any more."""

    def drain(self) -> None:
        """Take it out of service, and let its streams end.

        Those that have not ended within ``drain_timeout`` are left, to end with the
        process. PortwayError, and the node goes on, if it is the only one that is well.
        """
        if self.is_well:
            _refuse_if_alone(self.cluster, self.node)
        fall = self.cluster.settings.health_fall
        try:
            run(host, _SET, self._doors.unwell())
            self._wait_for_checks(fall, "sends it clients until its health check")
            run(host, _SET, self._doors.closed())
            _wait_for_streams(self.cluster, self._doors)
        except PortwayError:
            let_everybody_in()
            raise

    def note_failure(self) -> None:
        """Leave a mark for whoever started this run."""
        run(host, f"mkdir -p {DID_NOT_SERVE.parent} && touch {DID_NOT_SERVE}")

    def put_back(self) -> None:
        """Let the load balancers use it, and wait for them; nothing if it is not out.

        It must be healthy.
        """
        if not run(host, f"ls {OUT_OF_SERVICE} 2>/dev/null || :"):
            return
        run(host, _SET, self._doors.counting())
        # One more: the last one has only begun.
        rise = self.cluster.settings.health_rise + 1
        self._wait_for_checks(rise, "sends it no clients until its health check")
        let_everybody_in()

    @property
    def _doors(self) -> Doors:
        pair = self.cluster.load_balancers
        return Doors(
            {lb.name: lb.node.address for lb in pair if not lb.node.is_stopped},
            self.cluster.health.port,
            tuple(sorted(self.ports)),
        )

    def _wait_for_checks(self, count: int, what: str) -> None:
        """Wait until each load balancer has made so many health checks."""
        deadline = time.monotonic() + CHECKED_SECONDS
        made = _checks(self._doors)
        while late := [name for name, checks in made.items() if checks < count]:
            if time.monotonic() >= deadline:
                logger.warning(
                    f"{host.print_prefix}{', '.join(late)} {what} was made {count} "
                    f"times, which it was not within {CHECKED_SECONDS:.0f} s: going on"
                )
                return
            gevent.sleep(PAUSE_SECONDS)
            made = _checks(self._doors)


def let_everybody_in() -> None:
    """Have the packet filter refuse nobody on the current host."""
    run(host, _FORGET)


def _refuse_if_alone(cluster: Cluster, node: Node) -> None:
    """Leave the only node alone that is well, if there should be others."""
    others = [
        other
        for other in cluster.stack.with_role(Role.APPLICATION)
        if other.name != node.name
    ]
    if not others:
        logger.warning(
            f"{host.print_prefix}there is no other application node: clients are "
            "refused until this one is back"
        )
        return
    asked = {other.address: other for other in others}
    well = ask(host, PeersHealth, addresses=tuple(asked), check=cluster.health)
    if not well:
        names = ", ".join(other.name for other in others)
        raise PortwayError(
            f"{node.name} stays as it is: {names} cannot be seen to be well",
            why="nobody would serve while it is changed, or longer if it fails",
            do=f"bring {names} back; or deploy with pyinfra, which asks the load "
            "balancers",
        )


def _checks(doors: Doors) -> dict[str, int]:
    """How many health checks each load balancer has made since they are counted."""
    found = json.loads("\n".join(run(host, _COUNT)))["nftables"]
    made = {c["name"]: int(c["packets"]) for i in found if (c := i.get("counter"))}
    return {name: made.get(name, 0) for name in doors.load_balancers}


def _wait_for_streams(cluster: Cluster, doors: Doors) -> None:
    """Wait until the streams of clients have ended, or ``drain_timeout`` is over."""
    started = time.monotonic()
    reported = started - TELL_EVERY
    patience = cluster.settings.drain_timeout
    while left := streams(run(host, _STREAMS), doors):
        now = time.monotonic()
        if now - started >= patience:
            logger.info(f"{host.print_prefix}closing {left} streams")
            return
        if now - reported >= TELL_EVERY:
            reported = now
            logger.info(
                f"{host.print_prefix}draining, {left} streams left, "
                f"{now - started:.0f} s of {patience}"
            )
        gevent.sleep(PAUSE_SECONDS)


def streams(lines: Iterable[str], doors: Doors) -> int:
    """How many connections of load balancers to ports of clients ``ss`` shows."""
    sources: Collection[str] = set(doors.load_balancers.values())
    count = 0
    for line in lines:
        here, there = line.split()[-2:]
        port = here.rpartition(":")[2]
        source = there.rpartition(":")[0].strip("[]").removeprefix("::ffff:")
        count += source in sources and int(port) in doors.ports
    return count
