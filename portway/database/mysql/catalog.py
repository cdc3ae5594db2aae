"""How MySQL and MariaDB are asked what is there, and what their answers mean. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portway.database.mysql.dialect import account, literal
from portway.database.state import (
    MARIADB,
    RECORD,
    AppliedFile,
    FoundDatabase,
    FoundUser,
    Kind,
    Rights,
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
    """A statement with a row for each right: whose, on which, what, grantable."""
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


def accounts_question(wanted: WantedDatabase) -> str:
    """A statement with a row for each of the users.

    Its name, whether it is locked, and when its password was set.
    """
    where = f"WHERE Host = '%' AND User IN ({', '.join(map(literal, _users(wanted)))})"
    if wanted.engine == MARIADB:
        locked = "JSON_VALUE(Priv, '$.account_locked')"
        changed = "JSON_VALUE(Priv, '$.password_last_changed')"
        return f"SELECT User, {locked}, {changed} FROM mysql.global_priv {where}"
    changed = "UNIX_TIMESTAMP(password_last_changed)"
    return f"SELECT User, account_locked, {changed} FROM mysql.user {where}"


SERVER_QUESTION = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
    "('general_log', 'strict_password_validation')"
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
    """A statement with a row for each role of the users: whose, and which."""
    users = ", ".join(map(literal, _users(wanted)))
    if wanted.engine == MARIADB:
        return (
            "SELECT User, Role FROM mysql.roles_mapping "
            f"WHERE User IN ({users}) AND Host = '%'"
        )
    return (
        "SELECT TO_USER, FROM_USER FROM mysql.role_edges "
        f"WHERE TO_USER IN ({users}) AND TO_HOST = '%'"
    )


def _users(wanted: WantedDatabase) -> tuple[str, str]:
    return wanted.user, wanted.second


@dataclass(frozen=True, slots=True)
class Answers:
    """The rows that the questions were answered with."""

    names: Sequence[tuple[str, str]]
    accounts: Sequence[tuple[str, str | None, Any]]
    rights: Sequence[tuple[str, str, str, str, str]]
    roles: Sequence[tuple[str, str]]
    sessions: Sequence[str]
    """The user of each session."""
    variables: Mapping[str, str] = field(default_factory=dict)
    judges: Sequence[str] = ()
    """Plugins that judge passwords."""


def found_database(
    wanted: WantedDatabase,
    answers: Answers,
    applied: Mapping[str, AppliedFile] | None,
) -> FoundDatabase:
    """What the answers say."""
    login = next(name for kind, name in answers.names if kind == "login")
    exists = ("database", wanted.database) in answers.names
    users = {
        user: FoundUser(
            may_log_in=locked not in ("1", "Y", "true"),
            roles=tuple(role for whose, role in answers.roles if whose == user),
            changed=int(changed or 0),
            sessions=answers.sessions.count(user),
            rights=_rights([r[1:] for r in answers.rights if r[0] == account(user)]),
        )
        for user, locked, changed in answers.accounts
    }
    return FoundDatabase(
        login=login,
        exists=exists,
        schema_owner=login if exists else None,
        users=users,
        applied=applied,
        takes_hashes=not (
            answers.judges
            and answers.variables.get("strict_password_validation") == "ON"
        ),
        logs_statements=answers.variables.get("general_log") == "ON",
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
