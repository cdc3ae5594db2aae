"""What the parts of a run share: who calls, the stack as it is, what was noticed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from acceptance.account.calls import Caller
from acceptance.account.journal import Journal
from acceptance.account.making import Maker
from acceptance.plan.options import Options
from acceptance.programs.deploys import Deploys
from acceptance.programs.sender import Sender
from acceptance.terminal.masking import Mask
from acceptance.terminal.waiting import say, wait_for
from portway.aws.reading import address_reader, read_stack
from portway.model.stack import Node, Role, Stack

READ_SECONDS = 1800
HOLDER_SECONDS = 300
REPLACED_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class Move:
    """The address has moved: what was seen of it."""

    what: str
    began: float
    former: Node | None
    holder: Node | None
    shown: float | None
    """Seconds until AWS showed the new holder."""
    streams: tuple[str, ...]
    """How the connection that was open ended."""
    served: float | None
    """Seconds until a client was served again, if one noticed it."""


@dataclass
class View:
    """One run, for its parts."""

    options: Options
    owner: Caller
    """Whoever runs this."""
    operator: Caller
    """The role that has the stack's policy only."""
    maker: Maker
    journal: Journal
    deploys: Deploys
    mask: Mask
    sender: Sender | None = None
    moves: list[Move] = field(default_factory=list)
    databases: list[Any] = field(default_factory=list)
    """What RDS said of the database while it was created: each other answer once."""
    instances: dict[str, str] = field(default_factory=dict)
    """Instance ids by name, before something was changed."""
    launched: dict[str, float] = field(default_factory=dict)
    """Seconds that some things took, by what they are called."""
    notes: dict[str, str] = field(default_factory=dict)

    def stack(self) -> Stack:
        """The stack as Portway reads it, when it has all that it should have."""
        return read_stack(
            self.options.stack,
            self.options.region,
            wait_seconds=READ_SECONDS,
            progress=lambda line: say(f"  {line}"),
        )

    def client(self) -> Sender:
        """The client, which is running."""
        if self.sender is None:
            raise RuntimeError("no client is running yet")
        return self.sender

    def balancers(self) -> tuple[Node, ...]:
        """The load balancers, the master of record first."""
        return self.stack().with_role(Role.LOAD_BALANCER)

    def holder(self) -> Node | None:
        """The load balancer that AWS says the address points to."""
        stack = self.stack()
        return _holder(stack, stack.virtual_address.holder)

    def wait_for_holder(
        self, is_right: Callable[[str], bool], seconds: float = HOLDER_SECONDS
    ) -> float:
        """Wait until AWS shows that the address points to such an interface.

        Returns when that was.
        """
        read = address_reader(self.stack())
        seen = ""

        def look() -> float | None:
            nonlocal seen
            holders = {found.holder or "" for found in read()}
            seen = ", ".join(sorted(holders))
            right = len(holders) == 1 and all(h and is_right(h) for h in holders)
            return time.time() if right else None

        def now() -> str:
            return f"it points to {seen or 'nothing'}"

        return wait_for("the address to move", look, seconds, now=now, longest=0.5)

    def replaced(self, lost: Node) -> Node:
        """The instance that a group launched for one that was terminated."""

        def look() -> Node | None:
            nodes = self.stack().with_role(lost.role)
            known = set(self.instances.values())
            new = [node for node in nodes if node.instance_id not in known]
            gone = lost.instance_id not in {node.instance_id for node in nodes}
            return new[0] if new and gone else None

        what = f"another instance in place of {lost.name} ({lost.instance_id})"
        return wait_for(what, look, REPLACED_SECONDS, do="see the group's activity")

    def names(self) -> dict[str, str]:
        """Instance ids of all nodes by name."""
        return {node.name: node.instance_id for node in self.stack().nodes}


def _holder(stack: Stack, interface: str | None) -> Node | None:
    return next((n for n in stack.nodes if n.interface_id == interface), None)
