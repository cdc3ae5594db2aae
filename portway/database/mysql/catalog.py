"""How MySQL and MariaDB are asked what is there, and what their answers mean. Pure."""

from collections.abc import Mapping, Sequence

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
