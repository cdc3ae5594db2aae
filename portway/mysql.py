"""How MySQL and MariaDB are asked what is there, and told what should be.

Pure. What PostgreSQL calls a schema is a database here, so the two are one. Names are
quoted as identifiers, in grants as patterns, and values as literals.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from portway.database import (
    MARIADB,
    PASSWORD,
    RECORD,
    AppliedFile,
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
GRANT_OPTION = "GRANT OPTION"


def identifier(name: str) -> str:
    """A name, quoted."""
    return "`" + name.replace("`", "``") + "`"


def pattern(name: str) -> str:
    """A name as grants on a database take it, where ``_`` and ``%`` match others."""
    return name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def literal(value: str) -> str:
    """A text, quoted; a backslash counts as one, as it does unless forbidden."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def account(user: str) -> str:
    """The user, from wherever it connects; security groups say from where it can."""
    return f"{literal(user)}@'%'"


@dataclass(frozen=True, slots=True)
class MySql:
    """The dialect of MySQL, and of MariaDB where that differs."""

    engine: str

    def create_database(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the database."""
        return (f"CREATE DATABASE {identifier(wanted.database)} CHARACTER SET utf8mb4",)

    def create_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: a database is its own schema."""
        return ()

    def own_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: databases have no owner."""
        return ()

    def create_record(self) -> tuple[str, ...]:
        """Make the table that records applied SQL files."""
        return (
            f"CREATE DATABASE IF NOT EXISTS {RECORD} CHARACTER SET utf8mb4",
            f"CREATE TABLE IF NOT EXISTS {RECORD}.sql_files ("
            "schema_name varchar(64) NOT NULL, name varchar(100) NOT NULL, "
            "sha256 char(64) NOT NULL, state enum('started', 'done') NOT NULL, "
            "started_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, "
            "PRIMARY KEY (schema_name, name)) ENGINE=InnoDB",
        )

    def create_user(self, user: str) -> tuple[str, ...]:
        """Make the user, with its password and without any right."""
        return (f"CREATE USER {account(user)} {self._identified()}",)

    def set_password(self, user: str) -> tuple[str, ...]:
        """Give the user its password."""
        return (f"ALTER USER {account(user)} {self._identified()}",)

    def _identified(self) -> str:
        if self.engine == MARIADB:
            return f"IDENTIFIED BY PASSWORD {PASSWORD}"
        return f"IDENTIFIED WITH caching_sha2_password AS {PASSWORD}"

    def alter_user(
        self, wanted: WantedDatabase, found: FoundUser | None
    ) -> Iterable[Difference]:
        """What is not right about the user apart from its password and rights."""
        user = wanted.user
        for role in found.roles if found else ():
            yield Difference(
                f"Take the role {role} from the user {user}",
                (f"REVOKE {self._role(role)} FROM {account(user)}",),
            )

    def _role(self, role: str) -> str:
        return identifier(role) if self.engine == MARIADB else f"{literal(role)}@'%'"

    def wanted_rights(
        self,
        wanted: WantedDatabase,
        found: FoundDatabase,  # noqa: ARG002 - nothing in it changes what is wanted
    ) -> Rights:
        """The rights that the user should have, and no others."""
        rights = APPLICATION_RIGHTS
        if wanted.creates_tables:
            rights |= TABLE_MAKER_RIGHTS
        return {Scope(Kind.DATABASE, (pattern(wanted.database),)): rights}

    def unwanted_public_rights(
        self,
        wanted: WantedDatabase,  # noqa: ARG002 - there is no such thing here
        found: FoundDatabase,  # noqa: ARG002
    ) -> Rights:
        """Nothing: rights are given to users and roles only."""
        return {}

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        """Give rights."""
        return (f"GRANT {', '.join(rights)} ON {_target(scope)} TO {account(user)}",)

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        """Take rights away."""
        who = account(user or "")
        return (f"REVOKE {', '.join(rights)} ON {_target(scope)} FROM {who}",)


def _target(scope: Scope) -> str:
    if scope.kind is Kind.SERVER:
        return "*.*"
    if scope.kind is Kind.DATABASE:
        return f"{identifier(scope.name[0])}.*"
    return ".".join(map(identifier, scope.name))


def names_question(wanted: WantedDatabase) -> str:
    """A statement whose rows tell who asks, and which of our databases there are."""
    names = f"{literal(wanted.database)}, {literal(RECORD)}"
    return (
        "SELECT 'login', CURRENT_USER() UNION ALL "
        "SELECT 'database', schema_name FROM information_schema.schemata "
        f"WHERE schema_name IN ({names}) UNION ALL "
        "SELECT 'record', table_name FROM information_schema.tables "
        f"WHERE table_schema = {literal(RECORD)} AND table_name = 'sql_files'"
    )


def rights_question(wanted: WantedDatabase) -> str:
    """A statement with a row for each right: on which, what, may it be passed on.

    A user without any right on the server has USAGE there.
    """
    of_user = f"WHERE grantee = {literal(account(wanted.user))}"
    return (
        "SELECT '', '', privilege_type, is_grantable "
        f"FROM information_schema.user_privileges {of_user} UNION ALL "
        "SELECT table_schema, '', privilege_type, is_grantable "
        f"FROM information_schema.schema_privileges {of_user} UNION ALL "
        "SELECT table_schema, table_name, privilege_type, is_grantable "
        f"FROM information_schema.table_privileges {of_user}"
    )


def roles_question(wanted: WantedDatabase) -> str:
    """A statement with a row for each role of the user."""
    user = literal(wanted.user)
    if wanted.engine == MARIADB:
        return (
            f"SELECT Role FROM mysql.roles_mapping WHERE User = {user} AND Host = '%'"
        )
    return (
        "SELECT FROM_USER FROM mysql.role_edges "
        f"WHERE TO_USER = {user} AND TO_HOST = '%'"
    )


def found_database(  # noqa: PLR0913 - an answer to each question
    wanted: WantedDatabase,
    names: Sequence[tuple[str, str]],
    rights: Sequence[tuple[str, str, str, str]],
    roles: Sequence[str],
    applied: Mapping[str, AppliedFile] | None,
    *,
    password_works: bool,
) -> FoundDatabase:
    """What the answers say."""
    login = next(name for kind, name in names if kind == "login")
    exists = ("database", wanted.database) in names
    return FoundDatabase(
        login=login,
        exists=exists,
        schema_owner=login if exists else None,
        user=FoundUser(password_works, roles=tuple(roles)) if rights else None,
        rights=_rights(rights),
        applied=applied,
    )


def _rights(rows: Sequence[tuple[str, str, str, str]]) -> Rights:
    rights: dict[Scope, frozenset[str]] = {}
    for database, table, right, grantable in rows:
        if table:
            scope = Scope(Kind.TABLE, (database, table))
        elif database:
            scope = Scope(Kind.DATABASE, (database,))  # a pattern, as in wanted_rights
        else:
            scope = Scope(Kind.SERVER)
        granted = {right} - {"USAGE"}
        if grantable == "YES":
            granted.add(GRANT_OPTION)
        if granted:
            rights[scope] = rights.get(scope, frozenset()) | granted
    return rights


def batches(text: str) -> tuple[str, ...]:
    """A file as the server takes it, which does not know the word DELIMITER.

    Each batch holds statements between semicolons, or one with its own in it.
    """
    found = []
    delimiter, lines = ";", list[str]()
    for line in [*text.splitlines(keepends=True), "DELIMITER ;"]:
        words = line.split()
        if len(words) != 2 or words[0].upper() != "DELIMITER":
            lines.append(line)
            continue
        chunk = "".join(lines)
        found += [chunk] if delimiter == ";" else chunk.split(delimiter)
        delimiter, lines = words[1], []
    return tuple(batch.strip() for batch in found if batch.strip())
