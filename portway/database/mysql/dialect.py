"""The statements that change MySQL and MariaDB. Pure.

What PostgreSQL calls a schema is a database here, so the two are one. Names are quoted
as identifiers, in grants as patterns, and values as literals.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from portway.database.state import (
    MARIADB,
    PASSWORD,
    PLAIN_PASSWORD,
    RANDOM_PASSWORD,
    RECORD,
    Difference,
    FoundDatabase,
    FoundUser,
    Kind,
    Rights,
    Scope,
    WantedDatabase,
)

APPLICATION_RIGHTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE"})
TABLE_MAKER_RIGHTS = frozenset(
    {"CREATE", "ALTER", "INDEX", "REFERENCES", "CREATE TEMPORARY TABLES"}
)
"""Not DROP, which would let the application drop the whole database."""


def identifier(name: str) -> str:
    """A name, quoted."""
    return "`" + name.replace("`", "``") + "`"


def pattern(name: str) -> str:
    """A name as grants on a database take it, where ``_`` and ``%`` are wildcards."""
    return name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def literal(value: str) -> str:
    """A text, quoted; a backslash is doubled, because it escapes by default."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def account(user: str, host: str = "%") -> str:
    """The user from any host; security groups decide which hosts can connect."""
    return f"{literal(user)}@{literal(host)}"


@dataclass(frozen=True, slots=True)
class MySql:
    """The dialect of MySQL, and of MariaDB where that differs."""

    engine: str
    takes_hashes: bool = True
    """Whether the server takes the hash of a password, and not only the password."""

    def create_database(self, wanted: WantedDatabase) -> tuple[str, ...]:
        return (f"CREATE DATABASE {identifier(wanted.database)} CHARACTER SET utf8mb4",)

    def create_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: a database is its own schema."""
        return ()

    def own_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: databases have no owner."""
        return ()

    def create_record(self) -> tuple[str, ...]:
        return (
            f"CREATE DATABASE IF NOT EXISTS {RECORD} CHARACTER SET utf8mb4",
            f"CREATE TABLE IF NOT EXISTS {RECORD}.sql_files ("
            "schema_name varchar(64) NOT NULL, name varchar(100) NOT NULL, "
            "sha256 char(64) NOT NULL, state enum('started', 'done') NOT NULL, "
            "started_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, "
            "PRIMARY KEY (schema_name, name)) ENGINE=InnoDB",
        )

    def is_second(self, wanted: WantedDatabase, user: FoundUser) -> bool:
        """One without any right may be left from a run that was interrupted."""
        mine = pattern(wanted.database)
        return not user.rights or any(s.name[:1] == (mine,) for s in user.rights)

    def create_user(
        self,
        wanted: WantedDatabase,  # noqa: ARG002 - both users are alike here
        user: str,
        *,
        locked: bool,
    ) -> tuple[str, ...]:
        if not self.takes_hashes:
            create = (
                f"CREATE USER {account(user)} IDENTIFIED BY {RANDOM_PASSWORD} "
                "PASSWORD EXPIRE NEVER"
            )
            then = () if locked else self.set_password(user)
            return f"{create} ACCOUNT LOCK", *then
        lock = " ACCOUNT LOCK" if locked else ""
        create = f"CREATE USER {account(user)} {self._identified()}"
        return (f"{create} PASSWORD EXPIRE NEVER{lock}",)

    def set_password(self, user: str) -> tuple[str, ...]:
        if not self.takes_hashes:
            # Of this statement the server writes a hash into its binary log; of all
            # others the text, as it does of this one into its log of slow ones.
            return (
                "SET SESSION slow_query_log = 0",
                f"SET PASSWORD FOR {account(user)} = PASSWORD({PLAIN_PASSWORD})",
                f"ALTER USER {account(user)} ACCOUNT UNLOCK",
            )
        return (f"ALTER USER {account(user)} {self._identified()} ACCOUNT UNLOCK",)

    def lock(self, user: str) -> tuple[str, ...]:
        return (f"ALTER USER {account(user)} ACCOUNT LOCK",)

    def _identified(self) -> str:
        if self.engine == MARIADB:
            return f"IDENTIFIED BY PASSWORD {PASSWORD}"
        return f"IDENTIFIED WITH caching_sha2_password AS {PASSWORD}"

    def alter_user(
        self,
        wanted: WantedDatabase,  # noqa: ARG002 - both users are alike here
        user: str,
        found: FoundUser | None,
    ) -> Iterable[Difference]:
        for role in found.roles if found else ():
            yield Difference(
                f"Take the role {role} from the user {user}",
                (f"REVOKE {role} FROM {account(user)}",),
            )
        if found and found.expires:
            yield Difference(
                f"Let the password of the user {user} not expire",
                (f"ALTER USER {account(user)} PASSWORD EXPIRE NEVER",),
            )

    def wanted_rights(
        self,
        wanted: WantedDatabase,
        user: str,  # noqa: ARG002 - both users are alike here
        found: FoundDatabase,  # noqa: ARG002 - nothing in it changes what is wanted
    ) -> Rights:
        rights = APPLICATION_RIGHTS
        if wanted.creates_tables:
            rights |= TABLE_MAKER_RIGHTS
        return {Scope(Kind.DATABASE, (pattern(wanted.database),)): rights}

    def unwanted_public_rights(
        self,
        wanted: WantedDatabase,  # noqa: ARG002 - there is no such thing here
        found: FoundDatabase,  # noqa: ARG002
    ) -> Rights:
        return {}

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        return (f"GRANT {', '.join(rights)} ON {_target(scope)} TO {account(user)}",)

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        who = account(user or "")
        what = ", ".join(rights)
        if scope.kind is Kind.COLUMN:
            *table, column = scope.name
            what = ", ".join(f"{right} ({identifier(column)})" for right in rights)
            scope = Scope(Kind.TABLE, tuple(table))
        return (f"REVOKE {what} ON {_target(scope)} FROM {who}",)

    def as_owners(
        self,
        found: FoundDatabase,  # noqa: ARG002 - nothing has an owner here
        difference: Difference,
    ) -> Difference:
        return difference


def _target(scope: Scope) -> str:
    if scope.kind is Kind.SERVER:
        return "*.*"
    if scope.kind is Kind.DATABASE:
        return f"{identifier(scope.name[0])}.*"
    if scope.kind is Kind.PROXY:
        return scope.name[0]
    kind = "" if scope.kind is Kind.TABLE else f"{scope.kind.upper()} "
    return kind + ".".join(map(identifier, scope.name))
