"""How the application's password is rotated without an outage. Pure.

The application has two logins that alternate. A new password goes to the one that
nobody uses, the nodes move to it in their turns, and then the former one is locked. The
database itself and the nodes say how far that is, so any run can go on with it.
"""

from dataclasses import dataclass

from portway.database.dialect import Dialect
from portway.database.state import MYSQL, FoundDatabase, FoundUser, WantedDatabase
from portway.errors import PortwayError
from portway.model.login import SECOND

LONGEST_IN_MYSQL = 32
"""Characters of a user's name; the other engines allow more than secrets do."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """How far it is."""

    current: str
    """The login that has the secret's password, or gets it now."""
    has_password: bool
    """Whether it has it already."""
    former: str | None = None
    """The other login, while it can still log in."""
    held_by: tuple[str, ...] = ()
    """Why that one cannot be locked yet."""
    refused: tuple[str, ...] = ()
    """Nodes that use ``current`` with another password, or may, which ends now."""
    restored: tuple[str, ...] = ()
    """Nodes that have the password with ``current``, which gets it back."""

    @property
    def locks(self) -> bool:
        """Whether nothing keeps the former login from being locked now."""
        return self.former is not None and not self.held_by


def own_users(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> dict[str, FoundUser]:
    """The application's users that exist, without a stranger called like the second."""
    return {
        name: user
        for name, user in found.users.items()
        if name == wanted.user or dialect.is_second(wanted, user)
    }


def rotation(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> Rotation:
    """How far it is. PortwayError if it must begin and the second login cannot be."""
    users = own_users(dialect, wanted, found)
    working = [name for name, user in users.items() if user.password_works]
    current = working[0] if working else _without_password(wanted, found, users)
    if current == wanted.second and current not in users:
        _refuse_second(wanted, found)
    (other,) = {wanted.user, wanted.second} - {current}
    is_open = other in users and users[other].may_log_in
    stale = not working and current in users and users[current].may_log_in
    restored = () if working else found.nodes.ready_for(current)
    others = (*found.nodes.using(current), *found.nodes.unseen)
    return Rotation(
        current,
        has_password=bool(working),
        former=other if is_open else None,
        held_by=_held_by(found, users, current, other) if is_open else (),
        refused=tuple(n for n in others if stale and n not in restored),
        restored=restored,
    )


def _without_password(
    wanted: WantedDatabase, found: FoundDatabase, users: dict[str, FoundUser]
) -> str:
    """The login that gets the password, which neither has.

    Nodes may have it, if somebody has changed it in the database: their login. If not,
    it is a new one, for a login that nobody can use, if there is one.
    """
    if wanted.user not in users:
        return wanted.user
    if found.nodes.ready_login:
        return found.nodes.ready_login
    both = wanted.user, wanted.second
    for name in both:  # one that has it, and is locked
        if name in users and users[name].keeps_password:
            return name
    for name in both:
        if name not in users or not users[name].may_log_in:
            return name
    # A rotation before this one has not ended. Every look must come to the same.
    return min(reversed(both), key=lambda name: len(found.nodes.using(name)))


def _held_by(
    found: FoundDatabase, users: dict[str, FoundUser], current: str, former: str
) -> tuple[str, ...]:
    nodes, sessions = found.nodes, users[former].sessions
    reasons = []
    if using := nodes.using(former):
        reasons.append(f"used by {', '.join(using)}")
    elif not (current in users and nodes.using(current)):
        reasons.append(f"no node uses {current} yet")
    if nodes.unseen:
        reasons.append(f"nothing says what {', '.join(nodes.unseen)} will use")
    if sessions:
        origins = ", ".join(sorted({place for place in sessions if place}))
        reasons.append(
            f"{len(sessions)} session{'s' * (len(sessions) > 1)} of it"
            f"{' from ' * bool(origins)}{origins}"
        )
    return tuple(reasons)


def _refuse_second(wanted: WantedDatabase, found: FoundDatabase) -> None:
    second = wanted.second
    if second in found.users:
        raise PortwayError(
            f"the database has a user {second} that is not Portway's",
            why="the application's password is rotated with a second login, which has "
            "that name",
            do=f"rename or drop the user {second}, or give the application another "
            "user name in its secret",
        )
    if wanted.engine == MYSQL and len(second) > LONGEST_IN_MYSQL:
        raise PortwayError(
            f"the user name {wanted.user} in the application's secret is too long",
            why="its password is rotated with a second login, and MySQL takes no name "
            f"as long as {second}",
            do=f"give it one of up to {LONGEST_IN_MYSQL - len(SECOND)} characters",
        )
