"""The VRRP priority rules that make fail-over and recovery both work.

keepalived itself accepts priorities and weights that never fail over, or never come
back; those of every rendered pair are checked here first.
"""

from dataclasses import dataclass

LOWEST_PRIORITY = 1
HIGHEST_PRIORITY = 254
"""255 belongs to the owner of an address and 0 means "I am leaving" (RFC 5798)."""

CLAIM_WEIGHT = 2
"""What the master of record adds to take the address back: one more than a backup that
keeps the address has."""


@dataclass(frozen=True, slots=True)
class Priorities:
    """Base priorities of a pair and the weight of its health check.

    A negative weight lowers the priority of a node whose check fails; a
    positive one raises the priority of a node whose check succeeds.
    """

    master: int
    backup: int
    weight: int

    @property
    def transfer_weight(self) -> int:
        """What a planned transfer adds to the master's priority: just enough.

        A healthy backup is then preferred, a failing one is not: the address returns to
        the node that handed it over only when the other cannot serve.
        """
        return self.backup - self.master - 1

    @property
    def stay_weight(self) -> int:
        """What keeps the address at the backup once it has taken it over.

        Just enough for one more than the master, which may only have been stalled: it
        yields as soon as it hears that, and takes nothing back by itself. Still too
        little for a backup that cannot serve to stay above a master that can.
        """
        return self.master - self.backup + 1

    def effective(
        self, base: int, *, healthy: bool, transferred: bool = False, standing: int = 0
    ) -> int:
        """Priority that a node of this base advertises, clamped as keepalived does.

        ``standing`` is the weight of staying or claiming while that is in force.
        """
        applies = healthy if self.weight > 0 else not healthy
        priority = base + (self.weight if applies else 0)
        priority += self.transfer_weight if transferred else 0
        priority += standing
        return max(LOWEST_PRIORITY, min(HIGHEST_PRIORITY, priority))


def violations(priorities: Priorities) -> tuple[str, ...]:
    """Every rule that these priorities break, each with the fix; () if none.

    With M and B the base priorities and k the size of the weight: fail-over needs
    k >= M - B + 3. A backup that keeps the address counts as M + 1, and must be below a
    master that handed it over, which counts as B - 1, once its check fails; equal is
    not enough, because a backup yields to adverts of equal priority. Recovery needs
    M > B; the order is kept when both fail if B - k >= 2
    (negative weights) and when both are healthy if B + k <= 253 (positive
    ones), because beyond the limits keepalived clamps both to one value. A
    master that has handed the address over counts as B - 1, which must stay
    above the lowest priority in every case. M + 2 must exist for a master that takes
    the address back.
    """
    master, backup, weight = priorities.master, priorities.backup, priorities.weight
    size = abs(weight)
    found: list[str] = []
    for name, value in (("master_priority", master), ("backup_priority", backup)):
        if not LOWEST_PRIORITY <= value <= HIGHEST_PRIORITY:
            found.append(
                f"{name} {value} is outside {LOWEST_PRIORITY}-{HIGHEST_PRIORITY}; "
                "choose one inside, such as 151 for the master and 150 for the backup"
            )
    highest = HIGHEST_PRIORITY - CLAIM_WEIGHT - max(0, weight)
    if highest < master <= HIGHEST_PRIORITY and weight <= 0:
        found.append(
            f"master_priority {master} leaves no room above it for a node that keeps "
            f"the address or takes it back; use {highest} or less"
        )
    if master <= backup:
        found.append(
            f"master_priority {master} is not above backup_priority {backup}: the "
            "master would not take the address back; raise master_priority"
        )
    least = master - backup + 3
    if size < least:
        found.append(
            f"check_weight {weight} cannot move the address in every case in which the "
            f"check fails, such as away from a node that it was transferred to; use "
            f"{-least} or less"
        )
    lowest = backup - 1 - (size if weight < 0 else 0)
    if lowest < LOWEST_PRIORITY and backup > LOWEST_PRIORITY and weight < 0:
        found.append(
            f"check_weight {weight} takes backup_priority {backup} below "
            f"{LOWEST_PRIORITY + 1}, where both nodes are equal; use "
            f"{LOWEST_PRIORITY + 1 - backup} or more"
        )
    elif lowest < LOWEST_PRIORITY:
        found.append(
            f"backup_priority {backup} leaves no room below it for a master that "
            f"hands the address over; use {LOWEST_PRIORITY + 1} or more"
        )
    if weight > 0 and master > highest:
        most = HIGHEST_PRIORITY - CLAIM_WEIGHT - master
        found.append(
            f"check_weight {weight} takes master_priority {master} above {highest}, "
            "where no room is left for a node that keeps the address or takes it "
            f"back; use {most} or less"
        )
    return tuple(found)
