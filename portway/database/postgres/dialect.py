"""The statements that change PostgreSQL. Pure.

Every name is quoted as an identifier and every value as a literal; neither gets into a
statement in any other way.
"""

from collections.abc import Collection, Iterable

from portway.database.state import (
    PASSWORD,
    RECORD,
    Difference,
    FoundDatabase,
    FoundUser,
    Kind,
    Rights,
    Scope,
    WantedDatabase,
)

TABLE_RIGHTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
SEQUENCE_RIGHTS = frozenset({"USAGE", "SELECT"})
GRANT_OPTION = "GRANT OPTION FOR "
"""Prefix of a right that may be granted to others."""


def identifier(name: str) -> str:
    """A name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text, quoted so that it means the same whatever the server's settings."""
    if "\\" in value:
        return " E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + value.replace("'", "''") + "'"


class Postgres:
    """The dialect of PostgreSQL."""

    def create_database(self, wanted: WantedDatabase) -> tuple[str, ...]:
        return (f"CREATE DATABASE {identifier(wanted.database)}",)

    def create_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        return (f"CREATE SCHEMA {identifier(wanted.schema)}",)

    def own_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        return (f"ALTER SCHEMA {identifier(wanted.schema)} OWNER TO CURRENT_USER",)

    def create_record(self) -> tuple[str, ...]:
        return (
            f"CREATE SCHEMA IF NOT EXISTS {RECORD}",
            f"CREATE TABLE IF NOT EXISTS {RECORD}.sql_files ("
            "schema_name text NOT NULL, name text NOT NULL, sha256 text NOT NULL, "
            "state text NOT NULL CHECK (state IN ('started', 'done')), "
            "started_at timestamptz NOT NULL DEFAULT now(), "
            "PRIMARY KEY (schema_name, name))",
        )

    def is_second(self, wanted: WantedDatabase, user: FoundUser) -> bool:
        return wanted.user in user.roles or wanted.user == user.acts_as

    def create_user(
        self, wanted: WantedDatabase, user: str, *, locked: bool
    ) -> tuple[str, ...]:
        login = "NOLOGIN" if locked else "LOGIN"
        create = f"CREATE ROLE {identifier(user)} {login} PASSWORD {PASSWORD}"
        return create, *self._join(wanted, user)

    def set_password(self, user: str) -> tuple[str, ...]:
        return (f"ALTER ROLE {identifier(user)} LOGIN PASSWORD {PASSWORD}",)

    def lock(self, user: str) -> tuple[str, ...]:
        return (f"ALTER ROLE {identifier(user)} NOLOGIN",)

    def alter_user(
        self, wanted: WantedDatabase, user: str, found: FoundUser | None
    ) -> Iterable[Difference]:
        role = identifier(user)
        for power in found.powers if found else ():
            text = f"Take {power} from the user {user}"
            yield Difference(text, (f"ALTER ROLE {role} NO{power}",))
        for group in found.roles if found else ():
            if user == wanted.user or group != wanted.user:
                text = f"Take the role {group} from the user {user}"
                yield Difference(text, (f"REVOKE {identifier(group)} FROM {role}",))
        if found and found.expires:
            text = f"Let the password of the user {user} not expire"
            yield Difference(text, (f"ALTER ROLE {role} VALID UNTIL 'infinity'",))
        path = search_path(wanted)
        if found is None or found.search_path != path:
            yield Difference(
                f"Let the user {user} find tables in {', '.join(path)}",
                (
                    f"{_settings_of(wanted, user)} "
                    f"SET search_path TO {', '.join(map(identifier, path))}",
                ),
            )
        if user == wanted.second:
            yield from self._alter_second(wanted, found)

    def _alter_second(
        self, wanted: WantedDatabase, found: FoundUser | None
    ) -> Iterable[Difference]:
        """The second login acts as the first one, which owns what either makes."""
        user, first = wanted.second, wanted.user
        if found and first not in found.roles:
            text = f"Make the user {user} a member of {first}"
            yield Difference(text, self._join(wanted, user))
        if found is None or found.acts_as != first:
            statement = f"{_settings_of(wanted, user)} SET role TO {identifier(first)}"
            yield Difference(f"Let the user {user} act as {first}", (statement,))

    def _join(self, wanted: WantedDatabase, user: str) -> tuple[str, ...]:
        if user == wanted.user:
            return ()
        return (f"GRANT {identifier(wanted.user)} TO {identifier(user)}",)

    def wanted_rights(
        self, wanted: WantedDatabase, user: str, found: FoundDatabase
    ) -> Rights:
        if user == wanted.second:
            return {}  # it has those of the first one
        makes = wanted.creates_tables
        schema = (wanted.schema,)
        rights = {
            Scope(Kind.DATABASE, (wanted.database,)): frozenset(
                {"CONNECT", "TEMPORARY"} if makes else {"CONNECT"}
            ),
            Scope(Kind.SCHEMA, schema): frozenset(
                {"USAGE", "CREATE"} if makes else {"USAGE"}
            ),
            Scope(Kind.FUTURE_TABLES, schema): TABLE_RIGHTS,
            Scope(Kind.FUTURE_SEQUENCES, schema): SEQUENCE_RIGHTS,
        }
        for relation in found.relations:
            table = relation.kind is Kind.TABLE
            rights[relation] = TABLE_RIGHTS if table else SEQUENCE_RIGHTS
        return rights

    def unwanted_public_rights(
        self, wanted: WantedDatabase, found: FoundDatabase
    ) -> Rights:
        unwanted = {
            Scope(Kind.DATABASE, (wanted.database,)): {"CONNECT", "TEMPORARY"},
            Scope(Kind.SCHEMA, ("public",)): {"CREATE"},
        }
        unwanted[Scope(Kind.SCHEMA, (wanted.schema,))] = {"USAGE", "CREATE"}
        both = {s: found.public.get(s, frozenset()) & r for s, r in unwanted.items()}
        return {scope: rights for scope, rights in both.items() if rights}

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        before, on = _target(scope)
        return (f"{before}GRANT {', '.join(rights)} ON {on} TO {identifier(user)}",)

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        # Revoking a right revokes its grant option with it.
        before, on = _target(scope)
        who = "PUBLIC" if user is None else identifier(user)
        return tuple(
            f"{before}REVOKE {right} ON {on} FROM {who}"
            for right in rights
            if not right.startswith(GRANT_OPTION)
            or right.removeprefix(GRANT_OPTION) not in rights
        )


def search_path(wanted: WantedDatabase) -> tuple[str, ...]:
    """Where the user and the SQL files look for unqualified names."""
    return tuple(dict.fromkeys((wanted.schema, "public")))


def _settings_of(wanted: WantedDatabase, user: str) -> str:
    return f"ALTER ROLE {identifier(user)} IN DATABASE {identifier(wanted.database)}"


def _target(scope: Scope) -> tuple[str, str]:
    """What goes before GRANT or REVOKE, and what after ON."""
    name = ".".join(map(identifier, scope.name))
    if scope.kind in (Kind.FUTURE_TABLES, Kind.FUTURE_SEQUENCES):
        objects = "TABLES" if scope.kind is Kind.FUTURE_TABLES else "SEQUENCES"
        return f"ALTER DEFAULT PRIVILEGES IN SCHEMA {name} ", objects
    return "", f"{scope.kind.name} {name}"
