"""How MySQL and MariaDB are asked what is there. Pure."""

from collections.abc import Sequence

from portway.database.mysql.dialect import account, literal, pattern
from portway.database.state import MARIADB, RECORD, WantedDatabase


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
"""Its second and third column are the user, and the address and port it comes from;
every version of both servers has them."""


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
    accounts = [maker_account(login), *((role, hosts) for _, role, hosts in roles)]
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
    user, hosts = map(literal, maker_account(login))
    return (
        "SELECT TO_USER, FROM_USER, FROM_HOST FROM mysql.role_edges "
        f"WHERE TO_USER = {user} AND TO_HOST = {hosts}"
    )


def maker_account(login: str) -> tuple[str, str]:
    """A user and the hosts that it is for, as the server names who asks."""
    user, _, hosts = login.rpartition("@")
    return user, hosts


def _users(wanted: WantedDatabase) -> tuple[str, str]:
    return wanted.user, wanted.second
