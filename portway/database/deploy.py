"""What is done to the stack's database, in the words of the job.

The database admits application nodes only, so Portway reaches it through one of them,
the gateway. Passwords are in no host data and in no operation's arguments. Of a node's
programs only those that look for the application's password in its configuration get
that one, on standard input.
"""

import socket
from dataclasses import replace
from pathlib import Path

from pyinfra import host, inventory, logger, state

from portway.aws.logins import read_application_login, read_login
from portway.database.admin import (
    Access,
    apply,
    find_differences,
    find_rotation,
    find_working_login,
    lock_former,
    read_database,
    verify,
)
from portway.database.describing import (
    described,
    former_difference,
    settings_wish,
)
from portway.database.errors import LoginRefused
from portway.database.node_logins import read_node_logins
from portway.database.rotation import Rotation
from portway.database.session import GET_AUTHORITIES, Server
from portway.database.sql_files import file_problems, passed_over, read_sql_files
from portway.database.state import (
    MARIADB,
    MYSQL,
    POSTGRES,
    Difference,
    FoundDatabase,
    SqlFile,
    WantedDatabase,
)
from portway.errors import GROUP_DATA, PortwayError, refuse_if_any
from portway.model.cluster import Cluster
from portway.model.login import Login, both_logins
from portway.model.stack import Role
from portway.ops.describing import key
from portway.ops.fence import work
from portway.ops.findings import DATABASE, is_look, see, wish
from portway.ops.pyinfra_errors import Commands, for_pyinfra, operation
from portway.ops.reading import is_confirmed, once_per_run, once_per_stage
from portway.ops.tunnel import open_stream

CONNECT_SECONDS = 15
SESSION_LOOKS = 6
SESSION_PAUSE = 2.0


@for_pyinfra
def is_database_gateway(cluster: Cluster) -> bool:
    """Whether the database is reached through the current host.

    That is the application node of this run that was launched first.
    """
    return _gateway(cluster) == host.name


def _gateway(cluster: Cluster) -> str | None:
    active = {member.name for member in inventory.get_active_hosts()}
    nodes = cluster.stack.with_role(Role.APPLICATION)
    return next((n.name for n in nodes if n.name in active), None)


@for_pyinfra
def wanted_database(cluster: Cluster) -> WantedDatabase:
    """What the database should be; refused if settings or secrets do not allow it."""
    folder = cluster.settings.database_sql_dir
    files = () if folder is None else _read_files(Path(folder))
    wanted = replace(_without_files(cluster), files=files)
    if is_database_gateway(cluster):
        files_wanted = {key("SQL file", file.name): file.sha256 for file in files}
        settings_want = {key("database", wanted.schema): settings_wish(wanted)}
        wish(host.name, DATABASE, settings_want | files_wanted)
    return wanted


def _without_files(cluster: Cluster) -> WantedDatabase:
    database, settings = cluster.stack.needed_database(), cluster.settings
    if database.engine not in (POSTGRES, MYSQL, MARIADB):
        raise PortwayError(
            f"database {database.identifier}: its engine is {database.engine}; Portway "
            f"supports {POSTGRES}, {MYSQL} and {MARIADB}"
        )
    access = _access(cluster)
    schema = settings.database_schema
    return WantedDatabase(
        engine=database.engine,
        database=(database.engine == POSTGRES and database.name) or schema,
        schema=schema,
        user=access.application.user,
        creates_tables=settings.database_app_creates_tables,
    )


def _read_files(folder: Path) -> tuple[SqlFile, ...]:
    files = read_sql_files(folder)
    if others := passed_over(folder):
        once_per_run(
            ("passed over", folder),
            lambda: logger.warning(
                f"{folder}: not applied, because only files *.sql of the folder itself "
                f"are: {', '.join(others)}"
            ),
        )
    return files


def _access(cluster: Cluster) -> Access:
    return once_per_run("database access", lambda: _read_access(cluster))


def _read_access(cluster: Cluster) -> Access:
    database, settings = cluster.stack.needed_database(), cluster.settings
    node = inventory.get_host(_gateway(cluster) or host.name)
    if settings.database_ca_file is None:
        raise PortwayError(
            f"{GROUP_DATA}: database_ca_file is not set, so the database's certificate "
            "could not be verified",
            do=GET_AUTHORITIES,
        )

    def stream() -> socket.socket:
        return open_stream(node, database.address, database.port, CONNECT_SECONDS)

    region = cluster.stack.region
    application = read_application_login(region, database.application_secret)
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
        application=application,
        read_nodes=lambda: read_node_logins(cluster, application),
        progress=lambda line: logger.warning(f"{node.print_prefix}{line}"),
    )


@for_pyinfra
def find_database_differences(
    cluster: Cluster, wanted: WantedDatabase
) -> tuple[Difference, ...]:
    """What differs; refused if the SQL files cannot be applied."""
    found = _read_database(cluster, wanted)
    folder = cluster.settings.database_sql_dir or ""
    problems = list(file_problems(folder, wanted, found))
    if is_look():
        for problem in problems:
            see(DATABASE, "SQL file", problem.entry, problem.text)
        refused = {problem.entry for problem in problems}
        files = tuple(file for file in wanted.files if file.name not in refused)
        wanted = replace(wanted, files=files)
    else:
        refuse_if_any(problems)
    _tell(find_rotation(wanted, found))
    for line in found.beyond:
        logger.warning(f"{host.print_prefix}{line}")
    return find_differences(wanted, found)


def _tell(now: Rotation) -> None:
    """Say how far the rotation of the application's password is, unless it is over."""
    if now.refused:
        why = (
            "both logins of the application are in use, because an earlier rotation "
            "has not ended; "
        )
        logger.warning(
            f"{host.print_prefix}{'' if now.restored else why}{now.current} gets the "
            "application's password, so new database connections may be refused on "
            f"{', '.join(now.refused)} until its turn"
        )
    if now.restored:
        logger.warning(
            f"{host.print_prefix}the password of {now.current} was changed in the "
            f"database; it gets back the one that {', '.join(now.restored)} "
            f"{'have' if len(now.restored) > 1 else 'has'}"
        )
    elif now.former and not now.has_password:
        logger.info(
            f"    login {now.current} gets the application's new password; "
            f"{now.former} is locked when no node uses it"
        )
    elif now.held_by:
        logger.info(f"    {_why_held(now)}")


def _why_held(now: Rotation) -> str:
    return (
        f"login {now.current} has the application's password; {now.former} is locked "
        f"when no node uses it ({'; '.join(now.held_by)})"
    )


def _read_database(cluster: Cluster, wanted: WantedDatabase) -> FoundDatabase:
    # Nodes need it as well, side by side, to know which login they will have.
    return once_per_stage("database", lambda: read_database(_access(cluster), wanted))


@for_pyinfra
def prepared_login(cluster: Cluster) -> Login:
    """The login that has the secret's password once this run has done the database."""
    wanted = wanted_database(cluster)
    now = find_rotation(wanted, _read_database(cluster, wanted))
    return _login_of(cluster, now.current)


@for_pyinfra
def working_login(cluster: Cluster, likely: str | None) -> Login:
    """The login that has the secret's password, whatever the database should be.

    ``likely`` is the user that a node has already with this password, if one has. While
    the database does not answer, only such a user is taken: nodes never get a user and
    a password that no database has. Where nothing is deployed, it is the first one.
    """
    access = _access(cluster)
    try:
        return find_working_login(access, _without_files(cluster), likely)
    except LoginRefused:
        raise
    except PortwayError as error:
        nodes = access.read_nodes()
        ready = likely or nodes.ready_login
        if ready is None and (nodes.unseen or any(nodes.by_node.values())):
            raise _no_login(cluster, error) from error
        login = _login_of(cluster, ready or access.application.user)
        logger.warning(
            f"{host.print_prefix}cannot see which login has the application's "
            f"password, so nodes get {login.user}, "
            f"{'which nodes have with it' if ready else 'as the secret says'}: "
            f"{error.message}"
        )
        return login


def _no_login(cluster: Cluster, error: PortwayError) -> PortwayError:
    secret = cluster.stack.needed_database().application_secret
    return PortwayError(
        "nothing says which login has the password in the application's secret: "
        f"{error.what}",
        why="no node that can be asked has that password in its configuration, so the "
        "secret was changed since",
        do="run again when the database answers, or set the secret back to what it "
        "was:\n"
        "  aws secretsmanager update-secret-version-stage --version-stage AWSCURRENT "
        f"--secret-id {secret} --remove-from-version-id NEW --move-to-version-id OLD",
    )


def _login_of(cluster: Cluster, user: str) -> Login:
    logins = both_logins(_access(cluster).application)
    return next(login for login in logins if login.user == user)


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
    yield work(
        [described(wanted, difference)],
        lambda: apply(access, wanted, difference, seconds),
    )


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
        yield work((), lambda: verify(access, wanted))


@operation
def lock_former_login(cluster: Cluster, wanted: WantedDatabase) -> Commands:
    """Lock the login that nodes have left. Call it when all of them have their turn.

    It stays as it is, with a warning, while a node or a session may need it.
    """
    now = find_rotation(wanted, _read_database(cluster, wanted))
    if now.former is None:
        host.noop("no former login of the application can log in")
        return
    if not state.is_executing:
        if now.locks or _stays(cluster, now.former):
            host.noop("it is locked first of all, or stays in use")
            return
        yield work(former_difference(wanted, now), lambda: None)
        return
    access = _access(cluster)
    now = _without_sessions(access, wanted)
    if now.locks:
        yield work(
            former_difference(wanted, now), lambda: lock_former(access, wanted, now)
        )
        return
    if now.former is not None:
        logger.warning(f"{host.print_prefix}{_why_held(now)}")
    host.noop("it is locked already, or stays in use")


def _stays(cluster: Cluster, former: str) -> bool:
    """Whether a node that this run does not change may use a login."""
    nodes = _access(cluster).read_nodes()
    active = {member.name for member in inventory.get_active_hosts()}
    return bool(nodes.unseen or set(nodes.using(former)) - active)


def _without_sessions(access: Access, wanted: WantedDatabase) -> Rotation:
    """How far the rotation is; sessions of stopped processes get a moment to end."""
    for _ in range(SESSION_LOOKS):
        found = read_database(access, wanted)
        now = find_rotation(wanted, found)
        if now.former is None or not found.users[now.former].sessions:
            break
        access.server.sleep(SESSION_PAUSE)
    return now


def _show_statements(difference: Difference) -> None:
    """With ``--diff``, print the statements, once; they contain no password."""
    if not state.config.DIFF or is_confirmed():
        return
    for statement in difference.statements:
        logger.info(f"{host.print_prefix}{statement}")
