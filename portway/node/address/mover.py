"""Decides when to ask AWS who holds the address, and when to take it.

Everything that it knows is in one value that survives a restart of the program; time,
chance and AWS are given to it, so that every order of events can be tried.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from portway.node.address.config import Config
from portway.node.address.ec2 import Ec2Error, Failure
from portway.node.address.memory import Memory
from portway.node.address.places import AddressKind, Call, Place
from portway.node.address.vrrp import State

FIRST_RETRY = {Failure.THROTTLED: 1.0}
"""Seconds before the first retry; others are asked sooner."""
SOON = 0.25
LONGEST_RETRY = 5.0
CONFIRMATION = 5.0
"""Seconds in which AWS may carry out a claim before it is made again."""
FASTEST_LOOK = 1.0
"""Seconds between two looks that another master's adverts lead to."""
FIRST_PROBE, LONGEST_PROBE = 60.0, 3600.0
"""Seconds for which a peer that prevails keeps the address before this node, which is
master all the same, tries to take it back; each time twice as long."""

log = logging.getLogger("address")

Listen = Callable[[], None]
"""Takes in what keepalived has said meanwhile, at the moment before a call."""


class Cloud(Protocol):
    """What the mover needs of EC2."""

    def look(self) -> tuple[Place, ...]:
        """Where the address leads now."""

    def claims(
        self, seen: tuple[Place, ...], *, for_peer: bool = False
    ) -> Iterator[Call]:
        """The calls that bring it here, or to the peer."""

    def make(self, call: Call) -> object:
        """Make one of them."""

    def has_arrived(self) -> bool:
        """Whether an address that is said to be here is here."""

    def rehearse(self, call: Call) -> str:
        """Why it would be refused, without making it; empty if it would not."""


@dataclass(slots=True)
class Mover:
    """Keeps AWS in agreement with one node's VRRP state."""

    config: Config
    cloud: Cloud
    memory: Memory = field(default_factory=Memory)
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    due: float = 0.0
    """When to look next, by ``clock``."""
    _since: float = field(init=False)
    _heard: float | None = None
    _prevails: bool = False
    _tries: int = 0
    _claimed: float | None = None
    _looked: float = float("-inf")
    _away_since: float | None = None
    _probe: float = FIRST_PROBE

    def __post_init__(self) -> None:
        self._since = self.clock()

    def hear(self, state: State) -> None:
        """Take notice of keepalived's state; nothing happens if it is no other."""
        memory, now = self.memory, self.clock()
        if state is memory.vrrp_state:
            return
        log.info("VRRP: %s, was %s", state, memory.vrrp_state)
        memory.vrrp_state, memory.vrrp_since = state, self.wall_clock()
        memory.arrived, memory.refused = False, ""
        self._since, self._prevails, self._probe = now, False, FIRST_PROBE
        self._tries, self._claimed = 0, None
        self._heard = now if state is State.MASTER else None
        self.due = now + (0 if state is State.MASTER else FASTEST_LOOK)

    def doubt(self) -> None:
        """Another node of a lower priority thinks itself master, and will yield.

        It may have the address, and this node may claim it as if it had just become
        master. Look soon, at a bearable rate.
        """
        if self.memory.vrrp_state is State.MASTER:
            self._prevails = True
            self.due = min(self.due, self._looked + FASTEST_LOOK)

    def act(self, listen: Listen) -> None:
        """Look where the address leads, and do what is due and right."""
        if self.config.kind is AddressKind.VRRP:
            self._look_again(self.config.standby_interval)
            return
        try:
            self._look_and_act(listen)
        except Ec2Error as error:
            self._note_failure(error)
        else:
            if self.memory.failures:
                log.info(
                    "EC2 does what it is asked again, after %d failures",
                    self.memory.failures,
                )
            self.memory.failures = 0

    def _look_and_act(self, listen: Listen) -> None:
        memory = self.memory
        self._looked = self.clock()
        if self._heard is not None:
            memory.reaction, self._heard = self._looked - self._heard, None
        seen = self.cloud.look()
        self._note_places(seen)
        listen()  # an answer may take seconds
        if memory.vrrp_state is not State.MASTER:
            self._stand_by(seen, listen)
        elif set(memory.holders) == {self.config.interface_id}:
            self._settle()
        elif self._is_under_way():
            self._look_again(self._pause(SOON))
        elif self._may_claim():
            self._claim(seen, listen)
        else:
            self._look_again(self.config.check_interval)

    def _settle(self) -> None:
        if not (self.memory.arrived or self.cloud.has_arrived()):
            self._look_again(self._pause(SOON))
            return
        if not self.memory.arrived:
            log.info("%s leads here", self.config.address)
        self.memory.arrived, self._prevails = True, False
        self._tries, self._claimed, self._away_since = 0, None, None
        self._look_again(self.config.check_interval)

    def _may_claim(self) -> bool:
        """Whether this master takes the address from where it is.

        Two masters that do not hear each other must not take it in turns: only a
        healthy master of record takes it at any time, the other one when it becomes
        master or hears that it prevails, and then ever more seldom, in case nobody is
        there any more. A place that leads to neither is nobody's to fight for.
        """
        if not self.memory.arrived or self._prevails or self._insists():
            return True
        if self.config.peer_interface_id not in self.memory.holders:
            return True
        now = self.clock()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since < self._probe:
            return False
        self._away_since, self._probe = None, min(LONGEST_PROBE, 2 * self._probe)
        return True

    def _insists(self) -> bool:
        from_ = self.config.insists_from
        return from_ is not None and (self.memory.priority or from_) >= from_

    def _claim(self, seen: tuple[Place, ...], listen: Listen) -> None:
        if not self.memory.failures:
            log.info("claiming %s", self.config.address)
        for _ in self._made(self.cloud.claims(seen), State.MASTER, listen):
            self.memory.moves += 1
            self.memory.last_move = self.wall_clock()
        self._claimed = self.clock()
        self.due = self._claimed  # AWS has said yes: see that it is so

    def _stand_by(self, seen: tuple[Place, ...], listen: Listen) -> None:
        """Find out now what would be refused when it mattered."""
        memory, config = self.memory, self.config
        held = config.interface_id in memory.holders  # not taken from here yet
        if held and self._is_left_behind():
            self._give_to_peer(seen, listen)
            return
        texts = [self.cloud.rehearse(call) for call in self.cloud.claims(seen)]
        refused = "; ".join(text for text in texts if text)
        if refused and refused != memory.refused:
            log.error("could not take the address: %s", refused)
        memory.refused = refused
        is_odd = refused or set(memory.holders) != {config.peer_interface_id}
        self._look_again(config.check_interval if is_odd else config.standby_interval)

    def _is_left_behind(self) -> bool:
        """Whether this node has been backup for so long that a master is at work."""
        is_backup = self.memory.vrrp_state is State.BACKUP
        return is_backup and self.clock() - self._since > self.config.left_behind

    def _give_to_peer(self, seen: tuple[Place, ...], listen: Listen) -> None:
        """Give the address away that the master should have taken by now.

        A backup hears its master's adverts, so it knows that there is one. The master
        may have no way to EC2, or not know that a late answer undid its claim.
        """
        if not self._is_under_way():
            log.warning(
                "%s is left here; giving it to %s",
                self.config.address,
                self.config.peer,
            )
            calls = self.cloud.claims(seen, for_peer=True)
            for _ in self._made(calls, State.BACKUP, listen):
                self._claimed = self.clock()
        self._look_again(self._pause(SOON))

    def _made(
        self, calls: Iterable[Call], while_: State, listen: Listen
    ) -> Iterator[Call]:
        """Make calls as long as the node is in a state, and yield those that succeed.

        One that fails is no reason not to make the others; it is raised at the end.
        """
        failed: Ec2Error | None = None
        for call in calls:
            listen()
            if self.memory.vrrp_state is not while_:
                return
            try:
                self.cloud.make(call)
            except Ec2Error as error:
                failed = failed or error
            else:
                yield call
        if failed is not None:
            raise failed

    def _is_under_way(self) -> bool:
        """Whether what was asked of AWS may still take effect by itself."""
        return self._claimed is not None and self.clock() < self._claimed + CONFIRMATION

    def _note_places(self, seen: tuple[Place, ...]) -> None:
        memory = self.memory
        holders = tuple(place.holder for place in seen)
        if holders != memory.holders:
            shown = ", ".join(self._name(holder) for holder in holders)
            log.info("AWS: %s leads to %s", self.config.address, shown)
        memory.holders, memory.looked_at = holders, self.wall_clock()

    def _name(self, interface: str | None) -> str:
        names = {
            self.config.interface_id: self.config.node,
            self.config.peer_interface_id: self.config.peer,
            None: "no one",
        }
        return names.get(interface, str(interface))

    def _note_failure(self, error: Ec2Error) -> None:
        memory = self.memory
        memory.failures += 1
        memory.failures_in_all += 1
        if memory.failures == 1 or str(error) != memory.last_failure:
            log.warning("%s", error)
        memory.last_failure = str(error)
        memory.last_failure_at = self.wall_clock()
        self._claimed = None
        self._look_again(self._pause(FIRST_RETRY.get(error.failure, SOON)))

    def _pause(self, first: float) -> float:
        """A longer pause each time, up to a bound, and never the same for two nodes."""
        pause = min(LONGEST_RETRY, first * 2.0 ** min(self._tries, 10))
        self._tries += 1
        return pause * (0.5 + 0.5 * self.chance())

    def _look_again(self, seconds: float) -> None:
        self.due = self.clock() + seconds
