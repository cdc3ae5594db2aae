"""Everything the address mover knows, as one value that survives its restart."""

from dataclasses import dataclass

from portway.node.address.keepalived import State


@dataclass(slots=True)
class Memory:
    """What the mover knows and has done; times are seconds since 1970."""

    vrrp_state: State = State.STOP
    vrrp_since: float = 0.0
    arrived: bool = False
    """Whether the address has been here since this node became master."""
    priority: int = 0
    """What keepalived advertises, as far as it has said; 0 if it has not."""
    holders: tuple[str | None, ...] = ()
    """Network interfaces that the address objects pointed to at the last look."""
    looked_at: float = 0.0
    standing: int = 0
    """What this node adds to its VRRP priority for its part in the pair."""
    waits_since: float = 0.0
    """Since when this node could take its address back from its peer; 0 if it could
    not."""
    moves: int = 0
    """Successful calls that moved something to this node."""
    last_move: float = 0.0
    failures: int = 0
    """Calls that failed in a row; 0 after one that succeeded."""
    failures_in_all: int = 0
    last_failure: str = ""
    last_failure_at: float = 0.0
    refused: str = ""
    """Why this node may not move the address, tried while it had no need to."""
    reaction: float = 0.0
    """Seconds from hearing MASTER to the first call, the last time."""
