"""The difference between a database and what it should be. Pure.

The engine's dialect writes the statements.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from portway.database.state import (
    RECORD,
    Difference,
    FoundDatabase,
    FoundUser,
    Kind,
    Rights,
    Scope,
    WantedDatabase,
)

ORDER = ("CONNECT", "USAGE", "SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE")
"""The order in which rights are listed; others follow by name."""


class Dialect(Protocol):
    """The SQL of one engine: every method returns statements or reads values. Pure."""

    def create_database(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the database."""

    def create_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the schema, owned by the user of the session."""

    def own_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the user of the session the owner of the schema."""

    def create_record(self) -> tuple[str, ...]:
        """Make the table that records applied SQL files."""

    def create_user(self, user: str) -> tuple[str, ...]:
        """Make the user, with its password and without any right."""

    def set_password(self, user: str) -> tuple[str, ...]:
        """Set the user's password."""

    def alter_user(
        self, wanted: WantedDatabase, found: FoundUser | None
    ) -> Iterable[Difference]:
        """What differs about the user apart from its password and rights."""

    def wanted_rights(self, wanted: WantedDatabase, found: FoundDatabase) -> Rights:
        """The rights that the user should have, and no others."""

    def unwanted_public_rights(
        self, wanted: WantedDatabase, found: FoundDatabase
    ) -> Rights:
        """The rights that PUBLIC has and should not."""

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        """Grant rights."""

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        """Revoke rights, from PUBLIC if ``user`` is None."""


def differences(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> tuple[Difference, ...]:
    """What differs, in the order in which to change it."""
    return (
        *_missing_things(dialect, wanted, found),
        *_user_differences(dialect, wanted, found),
        # Grants before revokes: the application never lacks a right PUBLIC had.
        *_missing_rights(dialect, wanted, found),
        *_excess_rights(dialect, wanted, found),
        *_files_to_apply(wanted, found),
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
    if found.schema_owner is None and dialect.create_schema(wanted):
        text = f"Create the schema {wanted.schema}"
        yield Difference(text, dialect.create_schema(wanted))
    elif found.schema_owner not in (None, found.login):
        yield Difference(
            f"Make {found.login} the owner of the schema {wanted.schema} "
            f"instead of {found.schema_owner}",
            dialect.own_schema(wanted),
        )
    if wanted.files and found.applied is None:
        text = f"Create the table {RECORD}.sql_files, which records applied SQL files"
        yield Difference(text, dialect.create_record())


def _user_differences(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Difference]:
    user = wanted.user
    if found.user is None:
        yield Difference(f"Create the user {user}", dialect.create_user(user))
    elif not found.user.password_works:
        text = f"Set the password of the user {user}"
        yield Difference(text, dialect.set_password(user))
    yield from dialect.alter_user(wanted, found.user)


def _excess_rights(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Difference]:
    public = dialect.unwanted_public_rights(wanted, found)
    for scopes, rights in _grouped(public):
        yield Difference(
            f"Revoke {', '.join(rights)} on {_listed(scopes)} from PUBLIC",
            tuple(s for scope in scopes for s in dialect.revoke(scope, rights, None)),
        )
    user = wanted.user
    excess = _beyond(found.rights, dialect.wanted_rights(wanted, found))
    for scopes, rights in _grouped(excess):
        yield Difference(
            f"Revoke {', '.join(rights)} on {_listed(scopes)} from {user}",
            tuple(s for scope in scopes for s in dialect.revoke(scope, rights, user)),
        )


def _missing_rights(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> Iterator[Difference]:
    user = wanted.user
    missing = _beyond(dialect.wanted_rights(wanted, found), found.rights)
    for scopes, rights in _grouped(missing):
        yield Difference(
            f"Grant {', '.join(rights)} on {_listed(scopes)} to {user}",
            tuple(s for scope in scopes for s in dialect.grant(scope, rights, user)),
        )


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
    names = [".".join(scope.name) for scope in scopes[:most]]
    names += ["…"] if len(scopes) > most else []
    return f"{len(scopes)} {scopes[0].kind}s ({', '.join(names)})"
