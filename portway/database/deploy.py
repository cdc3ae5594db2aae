"""What is done to the stack's database, in the words of the job.

The database admits application nodes only, so Portway reaches it through one of them,
the gateway. Passwords stay in this process: they are on no node, in no host data and in
no operation's arguments.
"""

import socket
from pathlib import Path

from pyinfra import host, inventory, logger, state

from portway.aws.logins import read_application_login, read_login
from portway.database.admin import Access, apply, find_differences, read_database
from portway.database.session import Server
from portway.database.sql_files import file_problems, read_sql_files
from portway.database.state import (
    MARIADB,
    MYSQL,
    POSTGRES,
    Difference,
    FoundDatabase,
    WantedDatabase,
)
from portway.errors import GROUP_DATA, PortwayError, refuse_if_any
from portway.model.cluster import Cluster
from portway.model.stack import Role
from portway.ops.pyinfra_errors import Commands, for_pyinfra, operation, reported
from portway.ops.reading import is_confirmed, once_per_host, once_per_run
from portway.ops.tunnel import open_stream

CONNECT_SECONDS = 15


@for_pyinfra
def is_database_gateway(cluster: Cluster) -> bool:
    """Whether the database is reached through the current host.

    That is the application node of this run that was launched first.
    """
    active = {member.name for member in inventory.get_active_hosts()}
    nodes = cluster.stack.with_role(Role.APPLICATION)
    return next((n.name for n in nodes if n.name in active), None) == host.name


@for_pyinfra
def wanted_database(cluster: Cluster) -> WantedDatabase:
    """What the database should be; refused if settings or secrets do not allow it."""
    database, settings = cluster.stack.needed_database(), cluster.settings
    if database.engine not in (POSTGRES, MYSQL, MARIADB):
        raise PortwayError(
            f"database {database.identifier}: its engine is {database.engine}; Portway "
            f"supports {POSTGRES}, {MYSQL} and {MARIADB}"
        )
    access = _access(cluster)
    schema, folder = settings.database_schema, settings.database_sql_dir
    files = () if folder is None else read_sql_files(Path(folder))
    return WantedDatabase(
        engine=database.engine,
        database=(database.engine == POSTGRES and database.name) or schema,
        schema=schema,
        user=access.application.user,
        creates_tables=settings.database_app_creates_tables,
        files=files,
    )


def _access(cluster: Cluster) -> Access:
    return once_per_run(("database access", host.name), lambda: _read_access(cluster))


def _read_access(cluster: Cluster) -> Access:
    database, settings = cluster.stack.needed_database(), cluster.settings
    node = inventory.get_host(host.name)
    if settings.database_ca_file is None:
        raise PortwayError(
            f"{GROUP_DATA}: database_ca_file is not set, so the database's certificate "
            "could not be verified",
            do="set it to the file with the database's certificate "
            "authorities, for RDS global-bundle.pem",
        )

    def stream() -> socket.socket:
        return open_stream(node, database.address, database.port, CONNECT_SECONDS)

    region = cluster.stack.region
    return Access(
        server=Server(
            engine=database.engine,
            address=database.address,
            port=database.port,
            ca_file=Path(settings.database_ca_file),
            via=node.name,
            open_stream=stream,
        ),
        read_master=lambda: read_login(region, database.master_secret),
        application=read_application_login(region, database.application_secret),
        progress=lambda line: logger.warning(f"{node.print_prefix}{line}"),
    )


@for_pyinfra
def find_database_differences(
    cluster: Cluster, wanted: WantedDatabase
) -> tuple[Difference, ...]:
    """What differs; refused if the SQL files cannot be applied."""
    found = _read_database(cluster, wanted)
    folder = cluster.settings.database_sql_dir or ""
    refuse_if_any(file_problems(folder, wanted, found))
    return find_differences(wanted, found)


def _read_database(cluster: Cluster, wanted: WantedDatabase) -> FoundDatabase:
    return once_per_host("database", lambda: read_database(_access(cluster), wanted))


@operation
def apply_difference(
    cluster: Cluster, wanted: WantedDatabase, difference: Difference
) -> Commands:
    """Make one difference go away, if it is still there."""
    if difference not in find_differences(wanted, _read_database(cluster, wanted)):
        host.noop("somebody has changed it meanwhile")
        return
    _show_statements(difference)
    seconds = cluster.settings.database_sql_timeout
    access = _access(cluster)
    yield reported(lambda: apply(access, wanted, difference, seconds))


@operation
def verify_database(
    cluster: Cluster, wanted: WantedDatabase, changed: bool
) -> Commands:
    """Read the database again after changes, and fail if anything still differs."""
    if not state.is_executing:
        return
    database = cluster.stack.needed_database()
    if not database.is_protected:
        logger.warning(
            f"{host.print_prefix}RDS would delete the database {database.identifier} "
            "with the stack, or by one wrong call; update the stack with "
            "DatabaseDeletionProtection=true"
        )
    if changed:
        access = _access(cluster)
        yield reported(lambda: _verify(access, wanted))


def _verify(access: Access, wanted: WantedDatabase) -> None:
    left = find_differences(wanted, read_database(access, wanted))
    if left:
        raise PortwayError(
            f"the database still differs: {'; '.join(map(str, left))}",
            do="run again; if it stays so, have the owner of these objects do it",
        )


def _show_statements(difference: Difference) -> None:
    """With ``--diff``, print the statements, once; they contain no password."""
    if not state.config.DIFF or is_confirmed():
        return
    for statement in difference.statements:
        logger.info(f"{host.print_prefix}{statement}")
