"""Two VRRP nodes, each with its address mover, and AWS, in simulated time.

The VRRP rules are those of RFC 5798 with keepalived's clamping; the movers are the
real ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from portway.contract.address import AddressKind, AddressObject, Call, move_calls
from portway.contract.mover import MoverConfig
from portway.model.priorities import CLAIM_WEIGHT, Priorities
from portway.node.address.ec2 import Ec2Error, Failure
from portway.node.address.keepalived import State
from portway.node.address.memory import Memory
from portway.node.address.mover import Mover
from portway.node.address.standing import FailBack
from portway.node.check.abandoned import GONE

TICK = 0.1
"""Seconds."""
INTERFACES = ("eni-a", "eni-b")


@dataclass
class Aws:
    """One Elastic IP, and every call that moved it."""

    holder: str | None = None
    moves: list[tuple[float, str]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    """Interfaces of the nodes whose calls fail."""
    delay: float = 0.0
    """Seconds until a call that was answered takes effect."""
    pending: list[tuple[float, str]] = field(default_factory=list)

    def carry_out(self, now: float) -> None:
        for at, interface in [item for item in self.pending if item[0] <= now]:
            self.pending.remove((at, interface))
            self.holder = interface


@dataclass
class Cloud:
    """AWS as one node sees it."""

    aws: Aws
    interface: str
    time: "Time"

    def describe(self) -> tuple[AddressObject, ...]:
        self._fail()
        return (AddressObject("eipalloc-1", self.aws.holder),)

    def move_calls(
        self, seen: tuple[AddressObject, ...], *, for_peer: bool = False
    ) -> Iterator[Call]:
        (other,) = set(INTERFACES) - {self.interface}
        to = other if for_peer else self.interface
        return move_calls(AddressKind.ELASTIC_IP, "203.0.113.9", seen, to)

    def make(self, call: Call) -> object:
        self._fail()
        to = call.arguments["NetworkInterfaceId"]
        self.aws.moves.append((self.time.now, to))
        self.aws.pending.append((self.time.now + self.aws.delay, to))
        self.aws.carry_out(self.time.now)
        return None

    def _fail(self) -> None:
        if self.interface in self.aws.refuses:
            raise Ec2Error("ec2:AssociateAddress", Failure.DENIED, "no")

    def has_arrived(self) -> bool:
        return True

    def dry_run(self, call: Call) -> str:
        return ""


@dataclass
class Time:
    now: float = 0.0


@dataclass
class Node:
    """keepalived on one node."""

    number: int
    priorities: Priorities
    base: int
    mover: Mover
    state: State = State.BACKUP
    healthy: bool = True
    transferred: bool = False
    down_at: float = 0.0
    advert_at: float = 0.0
    deaf: bool = False
    has_mover: bool = True
    mover_gone_at: float = float("inf")
    """When the check takes back what a dead mover added to the priority."""
    stalled: bool = False

    @property
    def priority(self) -> int:
        return self.priorities.effective(
            self.base,
            healthy=self.healthy,
            transferred=self.transferred,
            standing=self.mover.memory.standing,
        )

    def wait_for_master(self, now: float) -> None:
        self.down_at = now + 3 + (256 - self.priority) / 256

    def become(self, state: State) -> None:
        self.state = state
        if self.has_mover:
            self.mover.hear(state)


class Pair:
    """The whole system; ``run`` lets time pass."""

    def __init__(self, priorities: Priorities, fail_back: float = 0.0) -> None:
        self.time, self.aws = Time(), Aws()
        self._claim = CLAIM_WEIGHT if fail_back else 0
        self._stay = priorities.stay_weight if fail_back else 0
        self._fail_back = fail_back
        self.healthy = priorities.effective(priorities.master, healthy=True)
        bases = (priorities.master, priorities.backup)
        self.nodes = [
            Node(n, priorities, bases[n], self._mover(n, Memory())) for n in (0, 1)
        ]
        self.last_advert = True
        """Whether a master that yields sends one (``higher_prio_send_advert``)."""
        self._fail_backs = [
            FailBack(node.mover.config, node.mover.clock) for node in self.nodes
        ]
        for node in self.nodes:
            node.mover.hear(State.BACKUP)
            node.wait_for_master(0)

    def _mover(self, number: int, memory: Memory) -> Mover:
        own, peer = INTERFACES[number], INTERFACES[1 - number]
        config = MoverConfig(
            stack="messages",
            node="ab"[number],
            peer="ba"[number],
            kind=AddressKind.ELASTIC_IP,
            address="203.0.113.9",
            objects=("eipalloc-1",),
            region="us-east-1",
            interface_id=own,
            peer_interface_id=peer,
            reclaim_priority=self.healthy if number == 0 else None,
            fail_back=self._fail_back,
            claim=self._claim if number == 0 else 0,
            stay=self._stay if number == 1 else 0,
        )

        def clock() -> float:
            return self.time.now

        return Mover(
            config,
            Cloud(self.aws, own, self.time),
            memory,
            clock=clock,
            wall_clock=clock,
            chance=lambda: 0.5,
        )

    def connect(self, connected: bool) -> None:
        for node in self.nodes:
            node.deaf = not connected

    def kill_mover(self, number: int) -> None:
        node = self.nodes[number]
        node.has_mover, node.mover_gone_at = False, self.time.now + GONE

    def start_mover(self, number: int) -> None:
        """Start a node's mover anew; what it knew is in its file."""
        node = self.nodes[number]
        node.has_mover, node.mover_gone_at = True, float("inf")
        node.mover = self._mover(number, node.mover.memory)
        node.mover.hear(node.state)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            self.time.now += TICK
            self.aws.carry_out(self.time.now)
            awake = [node for node in self.nodes if not node.stalled]
            for node in awake:
                self._advance(node)
            for node in awake:
                if self.time.now >= node.mover_gone_at:
                    node.mover.memory.standing = 0
                if node.has_mover and self.time.now >= node.mover.due:
                    node.mover.memory.priority = node.priority
                    node.mover.act(lambda: None)
                if node.has_mover:
                    self._take_part(node)

    def _take_part(self, node: Node) -> None:
        """As ``standing.take_part`` does, whose files this has not."""
        is_backup = node.state is State.BACKUP
        can = is_backup and node.healthy and not node.transferred
        due = self._fail_backs[node.number].is_due(can=can, asked=False)
        if is_backup:
            node.mover.stand(node.mover.config.claim if due else 0)

    def _advance(self, node: Node) -> None:
        now = self.time.now
        if node.state is State.BACKUP and now >= node.down_at:
            node.become(State.MASTER)
            node.advert_at = now
        if node.state is State.MASTER and now >= node.advert_at:
            node.advert_at = now + 1
            self._receive(self.nodes[1 - node.number], node)

    def _receive(self, node: Node, sender: Node) -> None:
        """An advert of ``sender`` arrives; on a tie the higher address wins."""
        now = self.time.now
        if node.deaf or node.stalled:
            return
        if node.state is State.BACKUP:
            if sender.priority >= node.priority:
                node.wait_for_master(now)
        elif (sender.priority, sender.number) > (node.priority, node.number):
            if self.last_advert and not sender.deaf:
                self._doubt(sender)  # hears the last advert of the one that yields
            node.become(State.BACKUP)
            node.wait_for_master(now)
        else:
            self._doubt(node)
            node.advert_at = now

    def _doubt(self, node: Node) -> None:
        if node.has_mover and node.state is State.MASTER:
            node.mover.heard_lower_priority()

    @property
    def masters(self) -> list[int]:
        return [n.number for n in self.nodes if n.state is State.MASTER]

    @property
    def holder(self) -> int | None:
        return INTERFACES.index(self.aws.holder) if self.aws.holder else None
