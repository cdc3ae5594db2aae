"""What a database should be and what it is, as plain values without passwords."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from portway.model.login import second_user

POSTGRES, MYSQL, MARIADB = "postgres", "mysql", "mariadb"
"""The engines, as RDS names them."""
RECORD = "portway"
"""The schema, and on MySQL the database, where Portway keeps its own table."""
PASSWORD = "'<hashed password>'"  # noqa: S105 - a placeholder
"""Placeholder in a statement for the hash of the application's password."""
PLAIN_PASSWORD = "'<password>'"  # noqa: S105 - a placeholder
"""The same for the password itself, for a server that takes no hash of one."""
RANDOM_PASSWORD = "'<random password>'"  # noqa: S105 - a placeholder
"""The same for a password that nobody ever knows."""


class Kind(StrEnum):
    """What rights are on."""

    SERVER = "the whole server"
    DATABASE = "database"
    SCHEMA = "schema"
    TABLE = "table"
    SEQUENCE = "sequence"
    COLUMN = "column"
    PROCEDURE = "procedure"
    FUNCTION = "function"
    PACKAGE = "package"
    PACKAGE_BODY = "package body"
    LIBRARY = "library"
    PROXY = "proxy of"
    ROUTINE = "routine"
    TYPE = "type"
    LANGUAGE = "language"
    FOREIGN_DATA_WRAPPER = "foreign data wrapper"
    FOREIGN_SERVER = "foreign server"
    LARGE_OBJECT = "large object"
    TABLESPACE = "tablespace"
    PARAMETER = "parameter"
    FUTURE_TABLES = "future tables of"
    FUTURE_SEQUENCES = "future sequences of"
    FUTURE_ROUTINES = "future routines of"
    FUTURE_TYPES = "future types of"
    FUTURE_SCHEMAS = "future schemas of"
    FUTURE_LARGE_OBJECTS = "future large objects of"
    ROLE = "role"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One thing that rights are on."""

    kind: Kind
    name: tuple[str, ...] = ()
    by: str = ""
    """The role that gave the rights, if neither Portway's user nor the owner did."""

    def __str__(self) -> str:
        everywhere = "any schema" if self.kind.startswith("future") else ""
        what = f"{self.kind} {'.'.join(self.name) or everywhere}".rstrip()
        return f"{what}, given by {self.by}," if self.by else what


Rights = Mapping[Scope, frozenset[str]]


@dataclass(frozen=True, slots=True)
class OtherRole:
    """A role that owns something or gave rights, and how Portway's user stands to it.

    PostgreSQL's: what a role owns, its members may change, but not everybody can make
    himself a member.
    """

    name: str
    inherits: bool = False
    """Whether Portway's user has its privileges already."""
    may_set: bool = False
    """Whether it may act as it with SET ROLE."""
    joinable: bool = False
    """Whether it can make itself a member."""
    with_options: bool = False
    """Whether memberships have the options INHERIT and SET: since PostgreSQL 16."""
    kept: tuple[bool, bool] | None = None
    """Those of the membership that it has given itself already."""
    superuser: bool = False
    admins: tuple[str, ...] = ()
    """Roles that may make members of it."""


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
    """When it was begun, by the database's clock."""


@dataclass(frozen=True, slots=True)
class WantedDatabase:
    """What the database should be."""

    engine: str
    database: str
    schema: str
    """The same as ``database`` on MySQL and MariaDB, where the two are one."""
    user: str
    """The application's user, as its secret names it: the first of its two logins."""
    creates_tables: bool = False
    """Whether the application makes tables by itself."""
    files: tuple[SqlFile, ...] = ()
    """In the order in which they are applied."""

    @property
    def second(self) -> str:
        """The second login, made when the password is rotated for the first time."""
        return second_user(self.user)


@dataclass(frozen=True, slots=True)
class FoundUser:
    """One of the application's users as it is."""

    password_works: bool = False
    """Whether the password in the application's secret logs it in."""
    keeps_password: bool | None = None
    """Whether the server keeps that password; None if only a login tells."""
    powers: tuple[str, ...] = ()
    """Attributes it should not have, as the engine names them."""
    roles: tuple[str, ...] = ()
    """Roles it is a member of."""
    role_givers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Who made it a member of each, where that must be said to take it away."""
    administered: bool = True
    """Whether Portway's user may change it."""
    owns_database: bool = False
    may_log_in: bool = True
    """Whether anybody can log in as it: it is not locked and has not expired."""
    expires: bool = False
    search_path: tuple[str, ...] = ()
    acts_as: str = ""
    """The role that its sessions take when they begin."""
    sessions: tuple[str, ...] = ()
    """The address that each session comes from, "" where the server hides it."""
    changed: int = 0
    """When its password was set, in seconds; 0 if the engine does not say."""
    rights: Rights = field(default_factory=dict)
    """What was granted to it itself."""


@dataclass(frozen=True, slots=True)
class NodeLogins:
    """Which of the application's two logins its nodes use."""

    by_node: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What each node's configuration names, and what its process has loaded."""
    unseen: tuple[str, ...] = ()
    """Nodes that could not be asked."""
    ready: Mapping[str, str] = field(default_factory=dict)
    """What the configuration names of each node that has the secret's password in it.

    It may be that no process has loaded it yet.
    """

    def using(self, user: str) -> tuple[str, ...]:
        """The nodes that use one of them."""
        return tuple(name for name, users in self.by_node.items() if user in users)

    def ready_for(self, user: str) -> tuple[str, ...]:
        """The nodes whose configuration has one of them with the secret's password."""
        return tuple(name for name, ready in self.ready.items() if ready == user)

    @property
    def ready_login(self) -> str | None:
        """The login that most of those have; None if there is no such node."""
        users = sorted(set(self.ready.values()))
        return max(users, key=lambda u: len(self.ready_for(u)), default=None)


@dataclass(frozen=True, slots=True)
class MakerRights:
    """What Portway's user may do with SQL files on MySQL and MariaDB."""

    account: tuple[str, str]
    """Its name and the hosts that it is for."""
    rights: frozenset[str]
    """On the whole server or the database, its roles' included."""
    is_trusted: bool
    """Whether it may make triggers and functions."""


@dataclass(frozen=True, slots=True)
class FoundDatabase:
    """What one read of the database server found."""

    login: str
    """The user that Portway logs in as."""
    exists: bool = False
    """Whether the database exists; if not, nothing inside it does."""
    schema_owner: str | None = None
    """None if there is no such schema."""
    users: Mapping[str, FoundUser] = field(default_factory=dict)
    """Those of the application's two users that exist, by name."""
    nodes: NodeLogins = field(default_factory=NodeLogins)
    """Which of them nodes use; read only while both can log in, or none does."""
    public: Rights = field(default_factory=dict)
    """What PUBLIC has and Portway can revoke."""
    relations: frozenset[Scope] = frozenset()
    """Tables and sequences of the schema that neither of the two users owns."""
    applied: Mapping[str, AppliedFile] | None = None
    """Recorded SQL files by name; None if there is no record."""
    namesakes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other accounts that MySQL may take for a user, by its name; "": for any."""
    maker: MakerRights | None = None
    """None if there are no files, or on PostgreSQL, which undoes a file that fails."""
    takes_hashes: bool = True
    """Whether the server takes the hash of a password, and not only the password."""
    logs_statements: bool = False
    """Whether it writes statements into a log as they are."""
    password_form: str = ""
    """How passwords are stored, if the server's settings ask for something old."""
    database_owner: str = ""
    """Whose it is, if Portway's user cannot make schemas in it by itself."""
    owners: Mapping[Scope, str] = field(default_factory=dict)
    """Whose each thing is on which Portway's user cannot give rights by itself."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Schemas that Portway's user may not look into, and whose they are."""
    roles: Mapping[str, OtherRole] = field(default_factory=dict)
    """Those roles, and those that gave rights, by name."""
    beyond: tuple[str, ...] = ()
    """What gives the application more than it should have, and stays."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs, and what changes it."""

    description: str
    statements: tuple[str, ...] = ()
    file: SqlFile | None = None
    inside: bool = True
    """Whether the statements run inside the database."""
    owners: tuple[tuple[str, Scope], ...] = ()
    """Roles in whose place they are run, and for which of their things."""
    user: str = ""
    """The application's user whose login they change."""

    def __str__(self) -> str:
        return self.description
