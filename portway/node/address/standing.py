"""What a node adds to its VRRP priority because of who has the address.

After a fail-over the backup adds enough to keep the address: a master that was only
stalled for a moment yields when it hears that, and does not move the address once more.
The master of record adds enough to take it back once it has served for long enough, or
when somebody asks for it.
"""

from collections.abc import Callable
from pathlib import Path

from portway.contract.mover import MoverConfig
from portway.contract.paths import STANDING, TAKE_BACK, TRANSFER, VERDICT
from portway.contract.transfer import is_given_away
from portway.node.address.keepalived import State
from portway.node.address.mover import Mover
from portway.node.host import write_whole


class FailBack:
    """When the master of record takes the address back. The clock is passed in."""

    def __init__(self, config: MoverConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._since: float | None = None

    def is_due(self, *, can: bool, asked: bool) -> bool:
        """Whether to take it back now, if the node ``can`` at this moment.

        It must have been able to all the time; if somebody asked for it, once will do.
        """
        if not can:
            self._since = None
            return False
        now = self._clock()
        self._since = now if self._since is None else self._since
        wait = 0.0 if asked else self._config.fail_back
        return wait is not None and now - self._since >= wait


def take_part(mover: Mover, fail_back: FailBack) -> None:
    """Take the address back if it is time, or give up trying."""
    memory, claim = mover.memory, mover.config.claim
    is_backup = memory.vrrp_state is State.BACKUP
    can = bool(claim) and is_backup and is_healthy() and not is_handed_over()
    due = fail_back.is_due(can=can, asked=TAKE_BACK.exists())
    if not can:
        memory.waits_since = 0.0
    elif not memory.waits_since:
        memory.waits_since = mover.wall_clock()
    if is_backup:
        mover.stand(claim if due else 0)
    elif memory.vrrp_state is State.MASTER and memory.arrived:
        TAKE_BACK.unlink(missing_ok=True)


def write(value: int, path: Path = STANDING) -> None:
    """Let keepalived add this to the priority from now on."""
    write_whole(path, f"{value}\n")


def is_healthy(path: Path = VERDICT) -> bool:
    """Whether the check has found that HAProxy serves."""
    try:
        return int(path.read_text().split("\n")[0]) >= 0
    except (OSError, ValueError):
        return False


def is_handed_over(path: Path = TRANSFER) -> bool:
    """Whether a planned transfer keeps the address away from this node."""
    try:
        return is_given_away(path.read_text())
    except (OSError, UnicodeDecodeError):
        return False
