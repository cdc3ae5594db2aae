"""What a database should be, what it is, and the difference, as plain values.

Pure. The statements that make a difference go away are written by the engine's
dialect (``portway.postgres``, ``portway.mysql``). No value here holds a password.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

POSTGRES, MYSQL, MARIADB = "postgres", "mysql", "mariadb"
"""The engines, as RDS names them."""
RECORD = "portway"
"""The schema, and on MySQL the database, where Portway keeps its own table."""
PASSWORD = "'<hashed password>'"  # noqa: S105 - it stands where a password's hash goes
"""Where a statement takes the hash of the application's password, as a literal."""
ORDER = ("CONNECT", "USAGE", "SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE")
"""The order in which rights are told; others follow by name."""


class Kind(StrEnum):
    """What rights are on."""

    SERVER = "the whole server"
    DATABASE = "database"
    SCHEMA = "schema"
    TABLE = "table"
    SEQUENCE = "sequence"
    FUTURE_TABLES = "future tables of"
    FUTURE_SEQUENCES = "future sequences of"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One thing that rights are on."""

    kind: Kind
    name: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(self.name)}".rstrip()


Rights = Mapping[Scope, frozenset[str]]


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One of the vendor's SQL files."""

    name: str
    sha256: str
    """Of its bytes, in hexadecimal."""
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """What is recorded of an SQL file."""

    sha256: str
    finished: bool
    at: str
    """When it was begun, as the database tells time."""


@dataclass(frozen=True, slots=True)
class WantedDatabase:
    """What the database should be."""

    engine: str
    database: str
    schema: str
    """The same as ``database`` on MySQL and MariaDB, where the two are one."""
    user: str
    """The application's own user."""
    creates_tables: bool = False
    """Whether the application makes tables by itself."""
    files: tuple[SqlFile, ...] = ()
    """In the order in which they are applied."""


@dataclass(frozen=True, slots=True)
class FoundUser:
    """The application's user as it is."""

    password_works: bool
    """Whether the password in the application's secret logs it in."""
    powers: tuple[str, ...] = ()
    """Attributes it should not have, as the engine names them."""
    roles: tuple[str, ...] = ()
    """Roles it is a member of."""
    may_log_in: bool = True
    expires: bool = False
    search_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundDatabase:
    """What one read of the database server found."""

    login: str
    """The user that Portway works as."""
    exists: bool = False
    """Whether the database is there; if not, neither is anything inside it."""
    schema_owner: str | None = None
    """None if there is no such schema."""
    user: FoundUser | None = None
    rights: Rights = field(default_factory=dict)
    """What was granted to the application's user itself."""
    public: Rights = field(default_factory=dict)
    """What everyone has and Portway can take away."""
    relations: frozenset[Scope] = frozenset()
    """Tables and sequences of the schema that are not the application's own."""
    applied: Mapping[str, AppliedFile] | None = None
    """Recorded SQL files by name; None if there is no record."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be, and what puts it right."""

    description: str
    statements: tuple[str, ...] = ()
    file: SqlFile | None = None
    inside: bool = True
    """Whether it is put right from inside the database."""

    def __str__(self) -> str:
        return self.description


class Dialect(Protocol):
    """How one engine says things. Pure."""

    def create_database(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the database."""

    def create_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make the schema, owned by who runs this."""

    def own_schema(self, wanted: WantedDatabase) -> tuple[str, ...]:
        """Make who runs this the owner of the schema."""

    def create_record(self) -> tuple[str, ...]:
        """Make the table that records applied SQL files."""

    def create_user(self, user: str) -> tuple[str, ...]:
        """Make the user, with its password and without any right."""

    def set_password(self, user: str) -> tuple[str, ...]:
        """Give the user its password."""

    def alter_user(
        self, wanted: WantedDatabase, found: FoundUser | None
    ) -> Iterable[Difference]:
        """What is not right about the user apart from its password and rights."""

    def wanted_rights(self, wanted: WantedDatabase, found: FoundDatabase) -> Rights:
        """The rights that the user should have, and no others."""

    def unwanted_public_rights(
        self, wanted: WantedDatabase, found: FoundDatabase
    ) -> Rights:
        """The rights that everyone has and should not."""

    def grant(self, scope: Scope, rights: Iterable[str], user: str) -> tuple[str, ...]:
        """Give rights."""

    def revoke(
        self, scope: Scope, rights: Collection[str], user: str | None
    ) -> tuple[str, ...]:
        """Take rights away, from everyone if ``user`` is None."""


def differences(
    dialect: Dialect, wanted: WantedDatabase, found: FoundDatabase
) -> tuple[Difference, ...]:
    """What is not as it should be, in the order in which to put it right."""
    return (
        *_missing_things(dialect, wanted, found),
        *_user_differences(dialect, wanted, found),
        # First given, then taken: what was everyone's right is never missed.
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
            f"Revoke {', '.join(rights)} on {_listed(scopes)} from everyone",
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
    """The scopes with the same rights, so that 300 tables are told as one thing."""
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
