"""How MySQL and MariaDB are asked what is there, and what their answers mean. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portway.database.mysql.dialect import account, identifier, literal, pattern
from portway.database.password_hashes import is_kept
from portway.database.state import (
    MARIADB,
    RECORD,
    AppliedFile,
    FoundDatabase,
    FoundUser,
    Kind,
    MakerRights,
    Scope,
    WantedDatabase,
)

GRANT_OPTION = "GRANT OPTION"


def names_question(wanted: WantedDatabase) -> str:
    """A statement whose rows say who asks, and which of our databases exist."""
    names = f"{literal(wanted.database)}, {literal(RECORD)}"
    return (
        "SELECT 'login', CURRENT_USER() UNION ALL "
        "SELECT 'database', schema_name FROM information_schema.schemata "
        f"WHERE schema_name IN ({names}) UNION ALL "
        "SELECT 'record', table_name FROM information_schema.tables "
        f"WHERE table_schema = {literal(RECORD)} AND table_name = 'sql_files'"
    )


def rights_question(wanted: WantedDatabase) -> str:
    """A statement with a row for each right on the server, a database or a table.

    Whose, on which, what, grantable.
    """
    grantees = ", ".join(literal(account(user)) for user in _users(wanted))
    of_users = f"WHERE grantee IN ({grantees})"
    return (
        "SELECT grantee, '', '', privilege_type, is_grantable "
        f"FROM information_schema.user_privileges {of_users} UNION ALL "
        "SELECT grantee, table_schema, '', privilege_type, is_grantable "
        f"FROM information_schema.schema_privileges {of_users} UNION ALL "
        "SELECT grantee, table_schema, table_name, privilege_type, is_grantable "
        f"FROM information_schema.table_privileges {of_users}"
    )


def finer_rights_question(wanted: WantedDatabase) -> str:
    """A statement with a row for each right that is on neither of those.

    Whose, on what kind of thing, its three names, and the rights; of MySQL's own
    tables, because nothing else tells of routines and proxies.
    """
    where = f"WHERE Host = '%' AND User IN ({', '.join(map(literal, _users(wanted)))})"
    return (
        "SELECT User, 'COLUMN', Db, Table_name, Column_name, Column_priv "
        f"FROM mysql.columns_priv {where} UNION ALL "
        # A grant option on columns alone is one on their table.
        "SELECT User, 'TABLE', Db, Table_name, '', 'Grant' "
        f"FROM mysql.tables_priv {where} AND FIND_IN_SET('Grant', Table_priv) "
        "UNION ALL SELECT User, Routine_type, Db, Routine_name, '', Proc_priv "
        f"FROM mysql.procs_priv {where} UNION ALL "
        "SELECT User, 'PROXY', Proxied_user, Proxied_host, '', 'Proxy' "
        f"FROM mysql.proxies_priv {where}"
    )


def accounts_question(wanted: WantedDatabase) -> str:
    """A statement with the fields of an ``Account`` for each of the users.

    Of every host, and also those without a name, which are anybody's.
    """
    users = ", ".join(map(literal, _users(wanted)))
    where = f"WHERE (User IN ({users}) OR User = '')"
    if wanted.engine == MARIADB:
        changed, *others = (
            f"JSON_VALUE(Priv, '$.{key}')"
            for key in (
                *("password_last_changed", "account_locked", "password_lifetime"),
                *("plugin", "authentication_string"),
            )
        )
        locked, lifetime, plugin, kept = others
        columns = f"{locked}, {changed}, {changed} = 0, {lifetime}, {plugin}, {kept}"
        return (
            f"SELECT User, Host, {columns}, NULL FROM mysql.global_priv {where} "
            "AND JSON_VALUE(Priv, '$.is_role') IS NULL"
        )
    return (
        "SELECT User, Host, account_locked = 'Y', "
        "UNIX_TIMESTAMP(password_last_changed), password_expired = 'Y', "
        "password_lifetime, plugin, authentication_string, "
        "JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.additional_password')) "
        f"FROM mysql.user {where}"
    )


SERVER_QUESTION = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
    "('default_password_lifetime', 'general_log', 'log_bin', "
    "'log_bin_trust_function_creators', 'strict_password_validation')"
)
"""Its rows are the variables that matter here and that the server has."""
JUDGES_QUESTION = (
    "SELECT plugin_name FROM information_schema.plugins "
    "WHERE plugin_type = 'PASSWORD VALIDATION' AND plugin_status = 'ACTIVE'"
)
"""MariaDB's plugins that judge passwords; what MySQL has judges no hash."""
SESSIONS_QUESTION = "SHOW PROCESSLIST"
"""Its second column is the user; every version of both servers has it."""


def roles_question(wanted: WantedDatabase) -> str:
    """A statement with a row for each role of the users: whose, which, its hosts."""
    users = ", ".join(map(literal, _users(wanted)))
    if wanted.engine == MARIADB:
        return (
            "SELECT User, Role, '' FROM mysql.roles_mapping "
            f"WHERE User IN ({users}) AND Host = '%'"
        )
    return (
        "SELECT TO_USER, FROM_USER, FROM_HOST FROM mysql.role_edges "
        f"WHERE TO_USER IN ({users}) AND TO_HOST = '%'"
    )


def maker_question(
    wanted: WantedDatabase, login: str, roles: Sequence[tuple[str, str, str]]
) -> str:
    """A statement with a row for each right of Portway's user and its roles.

    On the whole server, or on the database.
    """
    accounts = [_maker(login), *((role, hosts) for _, role, hosts in roles)]
    grantees = ", ".join(literal(account(*each)) for each in accounts)
    names = f"{literal(wanted.database)}, {literal(pattern(wanted.database))}"
    return (
        "SELECT privilege_type FROM information_schema.user_privileges "
        f"WHERE grantee IN ({grantees}) UNION "
        "SELECT privilege_type FROM information_schema.schema_privileges "
        f"WHERE grantee IN ({grantees}) AND table_schema IN ({names})"
    )


def maker_roles_question(login: str) -> str:
    """A statement with a row for each role of Portway's user, in MySQL."""
    user, hosts = map(literal, _maker(login))
    return (
        "SELECT TO_USER, FROM_USER, FROM_HOST FROM mysql.role_edges "
        f"WHERE TO_USER = {user} AND TO_HOST = {hosts}"
    )


def _maker(login: str) -> tuple[str, str]:
    user, _, hosts = login.rpartition("@")
    return user, hosts


def _users(wanted: WantedDatabase) -> tuple[str, str]:
    return wanted.user, wanted.second


@dataclass(frozen=True, slots=True)
class Account:
    """One of the users, as the server keeps it."""

    user: str
    host: str = "%"
    """Hosts that it is for; the server takes the account whose hosts are fewest."""
    locked: Any = None
    """1 or, in some versions, true."""
    changed: Any = None
    """When its password was set, in seconds."""
    expired: Any = None
    """1 if somebody has let its password expire."""
    lifetime: Any = None
    """Days until its password expires; 0: never; none, or -1: as the server has it."""
    plugin: str = ""
    kept: str | None = field(default=None, repr=False)
    """What the server keeps of its password."""
    kept_as_well: str | None = field(default=None, repr=False)
    """The same of a former password that MySQL still takes."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The rows that the questions were answered with."""

    names: Sequence[tuple[str, str]]
    accounts: Sequence[Account]
    rights: Sequence[tuple[str, str, str, str, str]]
    finer_rights: Sequence[tuple[str, str, str, str, str, str]]
    roles: Sequence[tuple[str, str, str]]
    sessions: Sequence[str]
    """The user of each session."""
    variables: Mapping[str, str] = field(default_factory=dict)
    judges: Sequence[str] = ()
    """Plugins that judge passwords."""
    maker_rights: Sequence[str] | None = None
    """What Portway's user may do; None if nobody asked."""


def found_database(
    wanted: WantedDatabase,
    answers: Answers,
    applied: Mapping[str, AppliedFile] | None,
    password: str,
) -> FoundDatabase:
    """What the answers say, of a user also whether it has the password."""
    login = next(name for kind, name in answers.names if kind == "login")
    exists = ("database", wanted.database) in answers.names
    users = {
        kept.user: _found_user(kept, answers, password)
        for kept in answers.accounts
        if kept.user and kept.host == "%"
    }
    return FoundDatabase(
        login=login,
        exists=exists,
        schema_owner=login if exists else None,
        users=users,
        applied=applied,
        maker=_maker_rights(login, answers),
        namesakes=_namesakes(answers.accounts),
        takes_hashes=not (
            answers.judges
            and answers.variables.get("strict_password_validation") == "ON"
        ),
        logs_statements=answers.variables.get("general_log") == "ON",
    )


def _maker_rights(login: str, answers: Answers) -> MakerRights | None:
    if answers.maker_rights is None:
        return None
    rights = frozenset(answers.maker_rights)
    is_on = {name for name, value in answers.variables.items() if value == "ON"}
    trusted = "log_bin" not in is_on or "log_bin_trust_function_creators" in is_on
    return MakerRights(
        _maker(login), rights, trusted or bool(rights & {"SUPER", "BINLOG ADMIN"})
    )


def _namesakes(accounts: Sequence[Account]) -> Mapping[str, tuple[str, ...]]:
    """Accounts that the server may take for one of the users, by its name or none.

    Those of localhost without a name are for connections on the server itself.
    """
    found: dict[str, tuple[str, ...]] = {}
    for kept in sorted(accounts, key=lambda kept: (kept.user, kept.host)):
        if kept.host != "%" and (kept.user or kept.host != "localhost"):
            same = found.get(kept.user, ())
            found[kept.user] = (*same, account(kept.user, kept.host))
    return found


def _found_user(kept: Account, answers: Answers, password: str) -> FoundUser:
    name, expired = kept.user, _is_on(kept.expired)
    texts = [text for text in (kept.kept, kept.kept_as_well) if text is not None]
    seen = [is_kept(kept.plugin, text, password) for text in texts]
    lifetime = -1 if kept.lifetime is None else int(kept.lifetime)
    if lifetime < 0:
        lifetime = int(answers.variables.get("default_password_lifetime", 0))
    return FoundUser(
        keeps_password=False if expired else None if None in seen else any(seen),
        may_log_in=not (_is_on(kept.locked) or expired),
        expires=lifetime > 0,
        roles=tuple(
            account(role, hosts) if hosts else identifier(role)
            for whose, role, hosts in answers.roles
            if whose == name
        ),
        changed=int(kept.changed or 0),
        sessions=answers.sessions.count(name),
        rights=_rights([r[1:] for r in answers.rights if r[0] == account(name)])
        | _finer_rights([r[1:] for r in answers.finer_rights if r[0] == name]),
    )


def _is_on(value: Any) -> bool:
    return str(value) in ("1", "true")


def _rights(
    rows: Sequence[tuple[str, str, str, str]],
) -> dict[Scope, frozenset[str]]:
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


def _finer_rights(
    rows: Sequence[tuple[str, str, str, str, str]],
) -> dict[Scope, frozenset[str]]:
    rights: dict[Scope, frozenset[str]] = {}
    for kind, first, second, third, granted in rows:
        names = tuple(filter(None, (first, second, third)))
        if kind == "PROXY":
            names = (account(first, second),)
        scope = Scope(Kind[kind.replace(" ", "_")], names)
        words = {word.upper() for word in granted.split(",") if word}
        if "GRANT" in words:
            words = words - {"GRANT"} | {GRANT_OPTION}
        if words:
            rights[scope] = rights.get(scope, frozenset()) | words
    return rights
