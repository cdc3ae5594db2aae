"""What belongs to other roles, and how the master user acts in their place. Pure.

Only members of the role that owns a thing may change it and the rights on it, and RDS's
master is no superuser. So it makes itself a member for a step and leaves again, in the
transaction of the step. Where it cannot, nothing is touched at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from portway.database.postgres.names import identifier, target
from portway.database.state import (
    Difference,
    FoundDatabase,
    Kind,
    OtherRole,
    Scope,
    WantedDatabase,
)
from portway.errors import PortwayError, first_of

MOST_SHOWN, MOST_STATEMENTS = 3, 10


def role_columns(version: int) -> str:
    """What a SELECT from pg_roles as ``r`` and the master's row as ``me`` asks."""
    since_16 = version >= 160000
    admin = "pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')"
    if since_16:
        able, may_set = admin, "SET"
        # The server itself gives a membership to whoever creates a role: grantor 10.
        kept = (
            "(SELECT pg_catalog.json_build_array(inherit_option, set_option) "
            "FROM pg_catalog.pg_auth_members AS m WHERE m.roleid = r.oid "
            "AND m.member = me.oid AND m.grantor <> 10 LIMIT 1)"
        )
    else:
        able, may_set = f"me.rolinherit AND (me.rolcreaterole OR {admin})", "MEMBER"
        kept = "NULL::json"
    return f"""
        r.rolname AS name, r.rolsuper AS superuser, {since_16} AS with_options,
        pg_catalog.pg_has_role(r.oid, 'USAGE') AS inherits,
        pg_catalog.pg_has_role(r.oid, '{may_set}') AS may_set,
        NOT r.rolsuper AND NOT pg_catalog.pg_has_role(r.oid, me.oid, 'MEMBER')
            AND {able} AS joinable,
        {kept} AS kept,
        ARRAY(SELECT DISTINCT pg_catalog.pg_get_userbyid(m.member)
            FROM pg_catalog.pg_auth_members AS m
            WHERE m.roleid = r.oid AND m.admin_option) AS admins"""


def other_role(row: Mapping[str, Any]) -> OtherRole:
    """What an answer with these columns says."""
    inherit, may_set = row["kept"] or (None, None)
    kept = None if inherit is None else (inherit, may_set)
    admins = tuple(sorted(row["admins"]))
    return OtherRole(**{**row, "kept": kept, "admins": admins})


def join(role: OtherRole, *, act: bool) -> str:
    """Make the master a member; ``act`` if it is to act as the role with SET ROLE."""
    options = f" WITH INHERIT TRUE, SET {str(act).upper()}"
    return (
        f"GRANT {identifier(role.name)} TO CURRENT_USER"
        f"{options if role.with_options else ''}"
    )


def leave(role: OtherRole) -> str:
    """Undo that: what was before is again."""
    if role.kept is None:
        return f"REVOKE {identifier(role.name)} FROM CURRENT_USER"
    inherit, act = (str(option).upper() for option in role.kept)
    return (
        f"GRANT {identifier(role.name)} TO CURRENT_USER "
        f"WITH INHERIT {inherit}, SET {act}"
    )


def is_usable(role: OtherRole | None) -> bool:
    """Whether the master may act in a role's place; None is the master itself."""
    return role is None or role.inherits or role.joinable


def as_owners(found: FoundDatabase, difference: Difference) -> Difference:
    """The same, with the master a member of each role in whose place it acts."""
    roles = [role for role in _needed(found, difference) if role.joinable]
    if not roles:
        return difference
    joined = (join(role, act=True) for role in roles)
    left = (leave(role) for role in reversed(roles))
    return replace(difference, statements=(*joined, *difference.statements, *left))


def _needed(found: FoundDatabase, difference: Difference) -> list[OtherRole]:
    """The roles that the master must join for it."""
    roles = [
        found.roles[name]
        for name in dict.fromkeys(name for name, _ in difference.owners)
        if name in found.roles
    ]
    return [
        role
        for role in roles
        if not role.inherits
        or (not role.may_set and act_as(role.name) in difference.statements)
    ]


def act_as(role: str) -> str:
    """Give up everything that is not the role's, until RESET ROLE."""
    return f"SET LOCAL ROLE {identifier(role)}"


def refuse_what_is_others(
    wanted: WantedDatabase, found: FoundDatabase, differences: Iterable[Difference]
) -> None:
    """PortwayError if a difference needs what the master may not do, before any."""
    differences = tuple(differences)
    _refuse_users(wanted, found, differences)
    for name, role in found.roles.items():
        concerned = [
            (difference, scope)
            for difference in differences
            if not role.joinable and role in _needed(found, difference)
            for owner, scope in difference.owners
            if owner == name
        ]
        if concerned:
            raise _refusal(found.login, role, concerned)


def _refusal(
    login: str, role: OtherRole, concerned: Sequence[tuple[Difference, Scope]]
) -> PortwayError:
    things = [str(replace(scope, by="")) for _, scope in concerned]
    verb = "has given" if concerned[0][1].by else "owns"
    return PortwayError(
        f"the database: {login} may not change what {role.name} {verb}: "
        f"{first_of(dict.fromkeys(things), MOST_SHOWN)}",
        why=f"{_reason(login, role)}; nothing was touched",
        do=_way_out(login, role, concerned),
    )


def _reason(login: str, role: OtherRole) -> str:
    if role.superuser:
        return f"{role.name} is a superuser and {login} is none"
    if role.may_set and not role.with_options:
        return f"{login} does not inherit what it is a member of"
    return f"{login} is no member of {role.name} and cannot make itself one"


def _way_out(
    login: str, role: OtherRole, concerned: Sequence[tuple[Difference, Scope]]
) -> str:
    if not role.superuser:
        who = " or ".join(name for name in role.admins if name != login)
        return (
            f"have {who or 'a superuser'} run, in any database:\n"
            f"  GRANT {identifier(role.name)} TO {identifier(login)}"
        )
    # Most sequences belong to a table's column and follow its table.
    tables = any(scope.kind is Kind.TABLE for _, scope in concerned)
    statements = dict.fromkeys(
        _by_owner(login, *each)
        for each in concerned
        if not (tables and each[1].kind is Kind.SEQUENCE)
    )
    lines = [f"  {statement};" for statement in list(statements)[:MOST_STATEMENTS]]
    more = ["  …"] if len(statements) > MOST_STATEMENTS else []
    return "\n".join([f"have {role.name} run, in that database:", *lines, *more])


def _by_owner(login: str, difference: Difference, scope: Scope) -> str:
    """What the owner can run instead."""
    before, on = target(scope)
    for statement in difference.statements:
        revokes = f"{before}REVOKE " in statement
        if revokes and (on in statement or scope.kind is Kind.ROLE):
            return statement
    return f"ALTER {on} OWNER TO {identifier(login)}"


def _refuse_users(
    wanted: WantedDatabase, found: FoundDatabase, differences: Iterable[Difference]
) -> None:
    """A user that somebody else has made may be out of the master's reach."""
    login = found.login
    for name in (wanted.user, wanted.second):
        user = found.users.get(name)
        if user is None or user.administered:
            continue
        changes = [
            difference
            for difference in differences
            if difference.user and identifier(name) in " ".join(difference.statements)
        ]
        if not changes:
            continue
        takes = " ".join(f"NO{power}" for power in user.powers)
        statement = (
            f"ALTER ROLE {identifier(name)} {takes}"
            if takes
            else f"GRANT {identifier(name)} TO {identifier(login)} WITH ADMIN OPTION"
        )
        raise PortwayError(
            f"the database: {login} may not change the user {name}, as needed to: "
            f"{first_of([str(d) for d in changes], MOST_SHOWN)}",
            why=(
                f"{name} has {', '.join(user.powers)}"
                if takes
                else f"somebody else made it, and {login} has no ADMIN OPTION on it"
            )
            + "; nothing was touched",
            do=f"have a superuser, or who made it, run:\n  {statement}",
        )
