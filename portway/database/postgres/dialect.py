"""The statements that change PostgreSQL. Pure.

Every name is quoted as an identifier and every value as a literal; neither gets into a
statement in any other way.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from portway.database.postgres import owners
from portway.database.postgres.names import FUTURE, identifier, target
from portway.database.state import (
    PASSWORD,
    RECORD,
    Difference,
    FoundDatabase,
    FoundUser,
    Kind,
    OtherRole,
    Rights,
    Scope,
    WantedDatabase,
)

TABLE_RIGHTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
SEQUENCE_RIGHTS = frozenset({"USAGE", "SELECT"})
OWN_CHOICE = (Kind.ROUTINE, Kind.TYPE, Kind.FUTURE_ROUTINES, Kind.FUTURE_TYPES)
GRANT_OPTION = "GRANT OPTION FOR "
"""Prefix of a right that may be granted to others."""


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
        givers = found.role_givers if found else {}
        for group in found.roles if found else ():
            if user == wanted.user or group != wanted.user:
                yield self._leave(user, group, givers.get(group, ("",)))
        if found and found.owns_database:
            name = identifier(wanted.database)
            yield Difference(
                f"Take the database {wanted.database} from the user {user}, "
                "who owns it",
                (f"ALTER DATABASE {name} OWNER TO CURRENT_USER",),
                owners=((user, Scope(Kind.DATABASE, (wanted.database,))),),
            )
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

    def _leave(self, user: str, group: str, givers: Iterable[str]) -> Difference:
        """Each membership is taken by whom it was given."""
        revoke = f"REVOKE {identifier(group)} FROM {identifier(user)}"
        return Difference(
            f"Take the role {group} from the user {user}",
            tuple(
                f"{revoke} GRANTED BY {identifier(giver)}" if giver else revoke
                for giver in givers
            ),
            owners=tuple((g, Scope(Kind.ROLE, (group,), g)) for g in givers if g),
        )

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
        # What files give on the routines and types of the schema is left as it is.
        for scope, has in (
            found.users[user].rights.items() if user in found.users else ()
        ):
            if scope.kind in OWN_CHOICE and scope.name == (*schema, *scope.name[1:]):
                rights[scope] = has & {"EXECUTE", "USAGE"}
        return rights

    def unwanted_public_rights(
        self, wanted: WantedDatabase, found: FoundDatabase
    ) -> Rights:
        return {
            scope: rights
            for scope, rights in unwanted_of_everybody(wanted, found).items()
            if owners.is_usable(giver(scope, found))
        }

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        before, on = target(scope)
        return (f"{before}GRANT {', '.join(rights)} ON {on} TO {identifier(user)}",)

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        before, on = target(scope)
        who = "PUBLIC" if user is None else identifier(user)
        part = f" ({identifier(scope.name[-1])})" if scope.kind is Kind.COLUMN else ""
        statements = []
        if user is None and "CONNECT" in rights:  # who does this may live by it
            statements.append(f"GRANT CONNECT ON {on} TO CURRENT_USER")
        for right in rights:
            option = right.startswith(GRANT_OPTION)
            if option and right.removeprefix(GRANT_OPTION) in rights:
                continue  # revoking the right revokes this with it
            # With it goes what the user has passed on.
            passed_on = option or GRANT_OPTION + right in rights
            statements.append(
                f"{before}REVOKE {right}{part} ON {on} FROM {who}"
                f"{' CASCADE' if passed_on else ''}"
            )
        if not scope.by or scope.kind in FUTURE:
            return tuple(statements)
        # The owner's REVOKE would not take what somebody else has given.
        return owners.act_as(scope.by), *statements, "RESET ROLE"

    def as_owners(self, found: FoundDatabase, difference: Difference) -> Difference:
        return owners.as_owners(found, difference)


def unwanted_of_everybody(wanted: WantedDatabase, found: FoundDatabase) -> Rights:
    """What PUBLIC has and should not, whoever can take it away."""
    unwanted = {
        Scope(Kind.DATABASE, (wanted.database,)): {"CONNECT", "TEMPORARY"},
        Scope(Kind.SCHEMA, ("public",)): {"CREATE"},
    }
    unwanted[Scope(Kind.SCHEMA, (wanted.schema,))] = {"USAGE", "CREATE"}
    return {
        scope: both
        for scope, rights in found.public.items()
        if (both := rights & unwanted.get(replace(scope, by=""), set()))
    }


def giver(scope: Scope, found: FoundDatabase) -> OtherRole | None:
    """Who must take rights away; None if it is the master."""
    name = scope.by or found.owners.get(scope)
    return found.roles.get(name) if name else None


def search_path(wanted: WantedDatabase) -> tuple[str, ...]:
    """Where the user and the SQL files look for unqualified names."""
    return tuple(dict.fromkeys((wanted.schema, "public")))


def _settings_of(wanted: WantedDatabase, user: str) -> str:
    return f"ALTER ROLE {identifier(user)} IN DATABASE {identifier(wanted.database)}"
