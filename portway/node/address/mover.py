"""Decides when to ask AWS who holds the address, and when to move it.

Everything it knows is in one value that survives a restart of the program. The clock,
randomness and AWS are passed in, so that tests can try every order of events.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from portway.contract.address import AddressObject, Call
from portway.contract.mover import MoverConfig
from portway.node.address.ec2 import Ec2Error, Failure
from portway.node.address.keepalived import State
from portway.node.address.memory import Memory

FIRST_RETRY = {Failure.THROTTLED: 1.0}
"""Seconds before the first retry; after other failures it is SOON."""
SOON = 0.25
LONGEST_RETRY = 5.0
CONFIRMATION = 5.0
"""Seconds that AWS gets to carry out a move before it is asked again."""
HEARS_WITHIN = 2.0
"""Seconds in which a node that was cut off hears the adverts of another master."""
FASTEST_LOOK = 1.0
"""Seconds between two looks when another master's adverts keep coming."""
FIRST_PROBE, LONGEST_PROBE = 60.0, 3600.0
"""Seconds for which the other master keeps the address before this node, which is
master as well, tries to take it; each time twice as long."""

log = logging.getLogger("address")

Listen = Callable[[], None]
"""Reads what keepalived has reported meanwhile; called just before each EC2 call."""


class Cloud(Protocol):
    """What the mover needs of EC2; see ``Ec2``."""

    def describe(self) -> tuple[AddressObject, ...]: ...

    def move_calls(
        self, seen: tuple[AddressObject, ...], *, for_peer: bool = False
    ) -> Iterator[Call]: ...

    def make(self, call: Call) -> object: ...

    def has_arrived(self) -> bool: ...

    def dry_run(self, call: Call) -> str: ...


@dataclass(slots=True)
class Mover:
    """Keeps AWS in agreement with one node's VRRP state."""

    config: MoverConfig
    cloud: Cloud
    memory: Memory = field(default_factory=Memory)
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    write_standing: Callable[[int], object] = int
    """Lets keepalived add something to this node's priority."""
    due: float = 0.0
    """When to look next, by ``clock``."""
    _since: float = field(init=False)
    _heard: float | None = None
    _prevails: bool = False
    _tries: int = 0
    _moved: float | None = None
    _looked: float = float("-inf")
    _away_since: float | None = None
    _probe: float = FIRST_PROBE

    def __post_init__(self) -> None:
        self._since = self.clock()

    def hear(self, state: State) -> None:
        """Note keepalived's state; nothing happens if it is the same as before."""
        memory, now = self.memory, self.clock()
        if state is memory.vrrp_state:
            return
        log.info("VRRP: %s, was %s", state, memory.vrrp_state)
        memory.vrrp_state, memory.vrrp_since = state, self.wall_clock()
        memory.arrived, memory.refused = False, ""
        if state is not State.MASTER:
            self.stand(0)
        self._since, self._prevails, self._probe = now, False, FIRST_PROBE
        self._tries, self._moved = 0, None
        self._heard = now if state is State.MASTER else None
        self.due = now + (0 if state is State.MASTER else FASTEST_LOOK)

    def heard_lower_priority(self) -> None:
        """Another node considers itself master, has a lower priority and will yield.

        It may have the address, so this node may take it as if it had just become
        master. Look soon, but not with every advert.
        """
        if self.memory.vrrp_state is State.MASTER:
            self._prevails = True
            self.due = min(self.due, self._looked + FASTEST_LOOK)

    def stand(self, value: int) -> None:
        """Add this to the node's VRRP priority, for its part in the pair."""
        if value != self.memory.standing:
            self.write_standing(value)
            self.memory.standing = value

    def act(self, listen: Listen) -> None:
        """Look where the address points, and move it if that is this node's job now."""
        try:
            self._look_and_act(listen)
        except Ec2Error as error:
            self._note_failure(error)
        else:
            if self.memory.failures:
                log.info(
                    "EC2 answers again, after %d failed calls",
                    self.memory.failures,
                )
            self.memory.failures = 0

    def _look_and_act(self, listen: Listen) -> None:
        memory = self.memory
        self._looked = self.clock()
        if self._heard is not None:
            memory.reaction, self._heard = self._looked - self._heard, None
        seen = self.cloud.describe()
        self._note_objects(seen)
        listen()  # the answer may have taken seconds
        if memory.vrrp_state is not State.MASTER:
            self._stand_by(seen, listen)
        elif set(memory.holders) == {self.config.interface_id}:
            self._settle()
        elif self._is_under_way():
            self._look_again(self._pause(SOON))
        elif self._was_cut_off():
            self._look_again(HEARS_WITHIN)
        elif self._may_move():
            self._move(seen, listen)
        else:
            self.stand(0)  # the peer has the address, and keeps it
            self._look_again(self.config.check_interval)

    def _settle(self) -> None:
        if not (self.memory.arrived or self.cloud.has_arrived()):
            self._look_again(self._pause(SOON))
            return
        if not self.memory.arrived:
            log.info("%s points to this node", self.config.address)
        self.stand(self.config.stay)
        self.memory.arrived, self._prevails = True, False
        self._tries, self._moved, self._away_since = 0, None, None
        self._look_again(self.config.check_interval)

    def _was_cut_off(self) -> bool:
        """Whether this node could not reach EC2 while its peer took the address.

        Then it may not have heard its peer, either, and is about to hear that it lost.
        """
        memory = self.memory
        gone = self.config.peer_interface_id in memory.holders
        return bool(memory.failures) and memory.arrived and gone

    def _may_move(self) -> bool:
        """Whether this master takes the address from where it is.

        Two masters that do not hear each other must not take it in turns. A healthy
        master of record may take it at any time. The other one may when it becomes
        master or hears that it has won; after that it tries less and less often, in
        case the peer is down. An address that points to neither is free to take.
        """
        if not self.memory.arrived or self._prevails or self._may_reclaim():
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

    def _may_reclaim(self) -> bool:
        least = self.config.reclaim_priority
        return least is not None and (self.memory.priority or least) >= least

    def _move(self, seen: tuple[AddressObject, ...], listen: Listen) -> None:
        if not self.memory.failures:
            log.info("moving %s to this node", self.config.address)
        # Before the call: a master that was only stalled must not win once it is made.
        self.stand(self.config.stay or self.memory.standing)
        for _ in self._made(self.cloud.move_calls(seen), State.MASTER, listen):
            self.memory.moves += 1
            self.memory.last_move = self.wall_clock()
        self._moved = self.clock()
        self.due = self._moved  # AWS has accepted it: check that it is done

    def _stand_by(self, seen: tuple[AddressObject, ...], listen: Listen) -> None:
        """Find out now what EC2 would refuse when it matters."""
        memory, config = self.memory, self.config
        held = config.interface_id in memory.holders  # not taken from here yet
        if held and self._must_hand_back():
            self._hand_back(seen, listen)
            return
        texts = []
        for call in self.cloud.move_calls(seen):
            listen()  # each answer may take seconds
            if memory.vrrp_state is State.MASTER:
                return
            texts.append(self.cloud.dry_run(call))
        refused = "; ".join(text for text in texts if text)
        if refused and refused != memory.refused:
            log.error("could not take the address: %s", refused)
        memory.refused = refused
        is_odd = refused or set(memory.holders) != {config.peer_interface_id}
        self._look_again(config.check_interval if is_odd else config.standby_interval)

    def _must_hand_back(self) -> bool:
        """Whether this node has been backup long enough for a master to be elected."""
        if self.memory.vrrp_state is not State.BACKUP or not self.config.peer:
            return False
        return self.clock() - self._since > self.config.hand_back_after

    def _hand_back(self, seen: tuple[AddressObject, ...], listen: Listen) -> None:
        """Move the address to the master, which should have taken it by now.

        A backup hears its master's adverts, so it knows that there is one. The master
        may not reach EC2, or not know that a late answer undid its own move.
        """
        if not self._is_under_way():
            log.warning(
                "%s still points to this backup; moving it to %s",
                self.config.address,
                self.config.peer,
            )
            calls = self.cloud.move_calls(seen, for_peer=True)
            for _ in self._made(calls, State.BACKUP, listen):
                self._moved = self.clock()
        self._look_again(self._pause(SOON))

    def _made(
        self, calls: Iterable[Call], while_: State, listen: Listen
    ) -> Iterator[Call]:
        """Make calls while the node is in a state, and yield those that succeed.

        One failure does not stop the others; the first is raised at the end.
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
        """Whether AWS may still be carrying out the last move."""
        return self._moved is not None and self.clock() < self._moved + CONFIRMATION

    def _note_objects(self, seen: tuple[AddressObject, ...]) -> None:
        memory = self.memory
        holders = tuple(found.holder for found in seen)
        if holders != memory.holders:
            shown = ", ".join(self._name(holder) for holder in holders)
            log.info("in AWS %s points to %s", self.config.address, shown)
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
        self._moved = None
        self._look_again(self._pause(FIRST_RETRY.get(error.failure, SOON)))

    def _pause(self, first: float) -> float:
        """A longer pause each time, up to a limit, with jitter to keep nodes apart."""
        pause = min(LONGEST_RETRY, first * 2.0 ** min(self._tries, 10))
        self._tries += 1
        return pause * (0.5 + 0.5 * self.chance())

    def _look_again(self, seconds: float) -> None:
        self.due = self.clock() + seconds
