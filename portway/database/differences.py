"""The difference between a database and what it should be. Pure.

The engine's dialect writes the statements.
"""

from collections.abc import Iterator
from dataclasses import replace

from portway.database.dialect import Dialect
from portway.database.rotation import Rotation, own_users, rotation
from portway.database.state import (
    PLAIN_PASSWORD,
    RECORD,
    Difference,
    FoundDatabase,
    Kind,
    Rights,
    Scope,
    WantedDatabase,
)
from portway.errors import PortwayError

ORDER = ("CONNECT", "USAGE", "SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE")
"""The order in which rights are listed; others follow by name."""


def differences(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> tuple[Difference, ...]:
    """What differs, in the order in which to change it.

    PortwayError if the password must be rotated and cannot be.
    """
    now = rotation(dialect, wanted, found)
    own = own_users(dialect, wanted, found)
    users = [u for u in (wanted.user, wanted.second) if u in own or u == now.current]
    _refuse_namesakes(found, users)
    found_differences = (
        *_missing_things(dialect, wanted, found),
        *(d for u in users for d in _user_differences(dialect, wanted, found, u, now)),
        # Grants before revokes: the application never lacks a right PUBLIC had.
        *(d for u in users for d in _missing_rights(dialect, wanted, found, u)),
        *_public_rights(dialect, wanted, found),
        *(d for u in users for d in _excess_rights(dialect, wanted, found, u)),
        # A login that works has its rights.
        *_password_differences(dialect, wanted, found, now),
        *_files_to_apply(wanted, found),
    )
    if found.logs_statements:
        _refuse_to_log_a_password(found_differences)
    return tuple(dialect.as_owners(found, d) for d in found_differences)


def _refuse_namesakes(found: FoundDatabase, users: list[str]) -> None:
    others = [a for user in (*users, "") for a in found.namesakes.get(user, ())]
    if others:
        raise PortwayError(
            f"the database has other accounts for the application: {', '.join(others)}",
            why="where one of them fits, the server takes it and not the one for any "
            "host, so the application has its password and its rights",
            do=f"drop them, as the master user:\n  DROP USER {', '.join(others)};",
        )


def _refuse_to_log_a_password(found: tuple[Difference, ...]) -> None:
    statements = (s for difference in found for s in difference.statements)
    if any(PLAIN_PASSWORD in statement for statement in statements):
        raise PortwayError(
            "the application's password cannot be set without a copy of it in the "
            "database's general log",
            why="a password validation plugin is active, and with "
            "strict_password_validation the server takes no hash",
            do="turn general_log or strict_password_validation off in its parameter "
            "group",
        )


def _missing_things(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Difference]:
    if not found.exists:
        yield Difference(
            f"Create the database {wanted.database}",
            dialect.create_database(wanted),
            inside=False,
        )
    database = found.database_owner, Scope(Kind.DATABASE, (wanted.database,))
    makers = (database,) if found.database_owner else ()
    if found.schema_owner is None and dialect.create_schema(wanted):
        text = f"Create the schema {wanted.schema}"
        yield Difference(text, dialect.create_schema(wanted), owners=makers)
    elif found.schema_owner not in (None, found.login):
        yield Difference(
            f"Make {found.login} the owner of the schema {wanted.schema} "
            f"instead of {found.schema_owner}",
            dialect.own_schema(wanted),
            owners=(
                (found.schema_owner, Scope(Kind.SCHEMA, (wanted.schema,))),
                *makers,
            ),
        )
    if wanted.files and found.applied is None:
        text = f"Create the table {RECORD}.sql_files, which records applied SQL files"
        yield Difference(text, dialect.create_record(), owners=makers)


def _user_differences(
    dialect: Dialect,
    wanted: WantedDatabase,
    found: FoundDatabase,
    user: str,
    now: Rotation,
) -> Iterator[Difference]:
    if user not in found.users:
        locked = user != wanted.user or user != now.current
        statements = dialect.create_user(wanted, user, locked=locked)
        text = f"Create the user {user}{_password_form(found)}"
        yield Difference(text, statements, user=user)
    for difference in dialect.alter_user(wanted, user, found.users.get(user)):
        yield replace(difference, user=user)


def _password_differences(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase, now: Rotation
) -> Iterator[Difference]:
    user = now.current
    # The first login is made with its password.
    if not now.has_password and (user in found.users or user != wanted.user):
        text = f"Set the password of the user {user}"
        if user not in found.users or not found.users[user].may_log_in:
            text += " and let it log in"
        text += _password_form(found)
        yield Difference(text, dialect.set_password(user), user=user)
    yield from lock_difference(dialect, now)


def _password_form(found: FoundDatabase) -> str:
    """Nothing, unless the server's settings ask for an old form."""
    form = found.password_form
    return f" (stored as {form}: password_encryption of the server)" if form else ""


def lock_difference(dialect: Dialect, now: Rotation) -> Iterator[Difference]:
    """What locks the former login; nothing if there is none, or it may be needed."""
    if now.former and now.locks:
        text = f"Lock the user {now.former}, which nobody uses any more"
        yield Difference(text, dialect.lock(now.former), user=now.former)


def _public_rights(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Difference]:
    public = dialect.unwanted_public_rights(wanted, found)
    for scopes, rights in _grouped(public):
        yield Difference(
            f"Revoke {', '.join(rights)} on {_listed(scopes)} from PUBLIC",
            tuple(s for scope in scopes for s in dialect.revoke(scope, rights, None)),
            owners=_owners(found, scopes),
        )


def _excess_rights(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase, user: str
) -> Iterator[Difference]:
    excess = _beyond(_has(found, user), dialect.wanted_rights(wanted, user, found))
    for scopes, rights in _grouped(excess):
        yield Difference(
            f"Revoke {', '.join(rights)} on {_listed(scopes)} from {user}",
            tuple(s for scope in scopes for s in dialect.revoke(scope, rights, user)),
            owners=_owners(found, scopes),
        )


def _missing_rights(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase, user: str
) -> Iterator[Difference]:
    missing = _beyond(dialect.wanted_rights(wanted, user, found), _has(found, user))
    for scopes, rights in _grouped(missing):
        yield Difference(
            f"Grant {', '.join(rights)} on {_listed(scopes)} to {user}",
            tuple(s for scope in scopes for s in dialect.grant(scope, rights, user)),
            owners=_owners(found, scopes),
        )


def _owners(
    found: FoundDatabase, scopes: tuple[Scope, ...]
) -> tuple[tuple[str, Scope], ...]:
    """Who else must change rights on some things."""
    return tuple(
        (role, scope)
        for scope in scopes
        for role in (
            scope.by or found.owners.get(scope),
            found.closed.get(scope.name[0]) if len(scope.name) > 1 else None,
        )
        if role
    )


def _has(found: FoundDatabase, user: str) -> Rights:
    return found.users[user].rights if user in found.users else {}


def _files_to_apply(
    wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Difference]:
    for file in wanted.files:
        if file.name not in (found.applied or {}):
            yield Difference(f"Apply SQL file {file.name}", file=file)


def _beyond(some: Rights, others: Rights) -> Rights:
    """What is in some rights and not in others."""
    beyond = {s: rights - others.get(s, frozenset()) for s, rights in some.items()}
    return {scope: rights for scope, rights in beyond.items() if rights}


def _grouped(rights: Rights) -> Iterator[tuple[tuple[Scope, ...], tuple[str, ...]]]:
    """The scopes with the same rights, so that 300 tables are one line."""
    groups: dict[tuple[int, tuple[str, ...]], list[Scope]] = {}
    kinds = list(Kind)
    for scope in sorted(rights, key=lambda s: (kinds.index(s.kind), s.name)):
        key = kinds.index(scope.kind), tuple(sorted(rights[scope], key=_rank))
        groups.setdefault(key, []).append(scope)
    for (_, names), scopes in sorted(groups.items(), key=lambda item: item[0]):
        yield tuple(scopes), names


def _rank(right: str) -> tuple[int, str]:
    return ORDER.index(right) if right in ORDER else len(ORDER), right


def _listed(scopes: tuple[Scope, ...], most: int = 3) -> str:
    if len(scopes) == 1:
        return str(scopes[0])
    names = [".".join(scope.name) or "any schema" for scope in scopes[:most]]
    names += ["…"] if len(scopes) > most else []
    kind = scopes[0].kind
    if kind.startswith("future"):
        return f"{kind} {', '.join(names)}"
    return f"{len(scopes)} {kind}s ({', '.join(names)})"
