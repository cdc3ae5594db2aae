"""What is done to the stack's database, in the words of the job.

The database admits application nodes only, so one of them lends its SSH connection.
Passwords stay in this process: they are on no node, in no host data, in no operation.
"""

import re
import socket
from collections.abc import Callable, Generator
from pathlib import Path

from pydantic import SecretStr
from pyinfra import host, inventory, logger, state
from pyinfra.api import FunctionCommand, operation
from pyinfra.api.host import Host
from pyinfra.api.state import State

from portway import aws
from portway.cluster import Cluster
from portway.database import (
    MARIADB,
    MYSQL,
    POSTGRES,
    Difference,
    FoundDatabase,
    WantedDatabase,
)
from portway.database_admin import Access, find_differences, put_right, read_database
from portway.database_session import Login, Server
from portway.errors import PortwayError, refuse_if_any
from portway.settings import SOURCE
from portway.sql_files import file_problems, read_sql_files
from portway.stack import Role
from portway.tunnel import open_stream

Commands = Generator[FunctionCommand, None, None]
CONNECT_SECONDS = 15
USER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")

_access: dict[str, Access] = {}
"""By node; here and not in host data, because it holds passwords."""
_found: dict[bool, FoundDatabase] = {}
"""By stage: whether it was read while executing, after people were asked."""


def lends_its_connection(cluster: Cluster) -> bool:
    """Whether the current host is the one through which the database is reached.

    That is the application node of this run that was launched first.
    """
    active = {member.name for member in inventory.get_active_hosts()}
    nodes = cluster.stack.with_role(Role.APPLICATION)
    return next((n.name for n in nodes if n.name in active), None) == host.name


def wanted_database(cluster: Cluster) -> WantedDatabase:
    """What the database should be; refused here if settings or secrets do not allow."""
    database, settings = cluster.stack.database, cluster.settings
    if database.engine not in (POSTGRES, MYSQL, MARIADB):
        raise PortwayError(
            f"database {database.identifier}: its engine {database.engine} is not one "
            f"of {POSTGRES}, {MYSQL} and {MARIADB}, which are all that Portway knows"
        )
    if host.name not in _access:
        _access[host.name] = _read_access(cluster)
    schema, folder = settings.database_schema, settings.database_sql_dir
    files = () if folder is None else read_sql_files(Path(folder))
    return WantedDatabase(
        engine=database.engine,
        database=(database.engine == POSTGRES and database.name) or schema,
        schema=schema,
        user=_access[host.name].application.user,
        creates_tables=settings.database_app_creates_tables,
        files=files,
    )


def _read_access(cluster: Cluster) -> Access:
    database, settings = cluster.stack.database, cluster.settings
    node = inventory.get_host(host.name)
    if settings.database_ca_file is None:
        raise PortwayError(
            f"{SOURCE}: database_ca_file is not set, so the database's certificate "
            "could not be verified; set it to the file with its authorities, for RDS "
            "global-bundle.pem"
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


def read_login(region: str, secret: str) -> Login:
    """The user name and password in a secret."""
    fields = aws.read_secret(region, secret)
    for key in ("username", "password"):
        if not fields.get(key):
            raise PortwayError(f'secret {secret}: it has no "{key}"; put it in')
    return Login(fields["username"], SecretStr(fields["password"]))


def read_application_login(region: str, secret: str) -> Login:
    """The application's login, if databases take it and can be told of it safely."""
    login = read_login(region, secret)
    if not USER.fullmatch(login.user):
        raise PortwayError(
            f'secret {secret}: "username" must be up to 32 letters, digits and '
            "underscores, the first no digit"
        )
    password = login.password.get_secret_value()
    if not (password.isascii() and password.isprintable()):
        raise PortwayError(
            f'secret {secret}: "password" must be printable ASCII; rotate it'
        )
    return login


def find_database_differences(
    cluster: Cluster, wanted: WantedDatabase
) -> tuple[Difference, ...]:
    """What is not as it should be; refused here if the SQL files cannot be applied."""
    found = _read_once(wanted)
    folder = cluster.settings.database_sql_dir or ""
    refuse_if_any(file_problems(folder, wanted, found))
    return find_differences(wanted, found)


def _read_once(wanted: WantedDatabase) -> FoundDatabase:
    """What is there, read once in each stage; with ``-y`` there is only one."""
    stage = bool(state.is_executing and state.check_for_changes)
    if stage not in _found:
        _found[stage] = read_database(_access[host.name], wanted)
    return _found[stage]


@operation()
def put_difference_right(
    difference: Difference, wanted: WantedDatabase, file_seconds: int
) -> Commands:
    """Make one difference go away, if it is still there."""
    if difference not in find_differences(wanted, _read_once(wanted)):
        host.noop("put right meanwhile")
        return
    _show_statements(difference)
    yield FunctionCommand(
        _told_as_failure,
        (lambda access: put_right(access, wanted, difference, file_seconds),),
        {},
    )


@operation()
def verify_database(wanted: WantedDatabase, changed: bool) -> Commands:
    """Read the database again after changes, and fail if anything still differs."""
    if state.is_executing and changed:
        yield FunctionCommand(
            _told_as_failure, (lambda access: _verify(access, wanted),), {}
        )


def _verify(access: Access, wanted: WantedDatabase) -> None:
    left = find_differences(wanted, read_database(access, wanted))
    if left:
        raise PortwayError(
            "the database is still not as it should be: "
            f"{'; '.join(map(str, left))}; if it stays so when run again, who owns "
            "these must do it"
        )


def _told_as_failure(
    state: State,  # noqa: ARG001 - pyinfra's signature
    host: Host,
    work: Callable[[Access], None],
) -> bool:
    """Do some work; pyinfra stops the run if it raises PortwayError, and tells it."""
    try:
        work(_access[host.name])
    except PortwayError as error:
        host.log_styled(error.message, fg="red", log_func=logger.error)
        return False
    return True


def _show_statements(difference: Difference) -> None:
    """Print the statements under ``--diff``, once; they hold no password."""
    if not state.config.DIFF or (state.is_executing and state.check_for_changes):
        return
    for statement in difference.statements:
        logger.info(f"{host.print_prefix}{statement}")
