"""Reads a database and changes what differs, over sessions with it.

It knows nothing of AWS, SSH or pyinfra. Nothing that it raises or returns contains a
password.
"""

import secrets
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from portway.database.connections import connect
from portway.database.dialect import Dialect
from portway.database.differences import differences, lock_difference
from portway.database.errors import LoginRefused, NoSuchDatabase
from portway.database.logging_in import logs_in, tried
from portway.database.mysql import catalog as mysql_catalog
from portway.database.mysql import files as mysql_files
from portway.database.mysql import question as mysql_question
from portway.database.mysql.dialect import MySql
from portway.database.password_hashes import caching_sha2, mysql_native
from portway.database.postgres import catalog as postgres_catalog
from portway.database.postgres import files as postgres_files
from portway.database.postgres.dialect import Postgres
from portway.database.postgres.owners import refuse_what_is_others
from portway.database.postgres.passwords import stored_password
from portway.database.postgres.question import VERSION, question
from portway.database.rotation import Rotation, own_users, rotation
from portway.database.session import STATEMENT_SECONDS, Server, Session
from portway.database.state import (
    MARIADB,
    MYSQL,
    PASSWORD,
    PLAIN_PASSWORD,
    POSTGRES,
    RANDOM_PASSWORD,
    AppliedFile,
    Difference,
    FoundDatabase,
    NodeLogins,
    WantedDatabase,
)
from portway.errors import PortwayError
from portway.model.login import Login, both_logins

ROTATION_ATTEMPTS = 6
ROTATION_PAUSE = 5.0
READING = "reading what is there"


@dataclass(frozen=True, slots=True)
class Access:
    """A server and the users that Portway logs in as."""

    server: Server
    read_master: Callable[[], Login]
    """Reads the master user's secret again; RDS rotates it."""
    application: Login
    """As its secret has it; the second login may have the same password."""
    read_nodes: Callable[[], NodeLogins]
    """Asks the application nodes which of the two logins they use."""
    progress: Callable[[str], None]


def _dialect(wanted: WantedDatabase, found: FoundDatabase) -> Dialect:
    """The dialect of the server that was found."""
    if wanted.engine == POSTGRES:
        return Postgres()
    return MySql(wanted.engine, takes_hashes=found.takes_hashes)


def find_differences(
    wanted: WantedDatabase, found: FoundDatabase
) -> tuple[Difference, ...]:
    """What differs, in the order in which to change it.

    PortwayError if some of it is out of the master user's reach.
    """
    differs = differences(_dialect(wanted, found), wanted, found)
    if wanted.engine == POSTGRES:
        refuse_what_is_others(wanted, found, differs)
    return differs


def find_rotation(wanted: WantedDatabase, found: FoundDatabase) -> Rotation:
    """How far the rotation of the application's password is."""
    return rotation(_dialect(wanted, found), wanted, found)


@contextmanager
def master_session(
    access: Access, database: str, seconds: float = STATEMENT_SECONDS
) -> Iterator[Session]:
    """A session of the master user.

    While RDS rotates its password, secret and database disagree for a moment, so a
    refused password is read and tried again for up to half a minute.
    """
    for attempt in range(1, ROTATION_ATTEMPTS + 1):
        master = access.read_master()
        if master.user == access.application.user:
            raise PortwayError(
                f"{access.server}: the application's secret names the master user "
                f"{master.user}, who may do anything",
                do="give the application a user of its own",
            )
        try:
            session = connect(access.server, master, database, seconds)
            break
        except LoginRefused as refused:
            if attempt == ROTATION_ATTEMPTS:
                raise LoginRefused(
                    f"{refused.message}, also after {attempt} attempts",
                    why="RDS is rotating its password, or somebody changed it outside "
                    "RDS",
                    do="run again in a minute; if it stays so, have RDS rotate it:\n"
                    "  aws rds modify-db-instance --db-instance-identifier NAME "
                    "--rotate-master-user-password --apply-immediately",
                ) from None
            access.progress(
                "the database refuses the master password; RDS may be rotating it; "
                f"reading the secret again in {ROTATION_PAUSE:.0f} s"
            )
            access.server.sleep(ROTATION_PAUSE)
    try:
        yield session
    finally:
        session.close()


def read_database(access: Access, wanted: WantedDatabase) -> FoundDatabase:
    """What is there, with as few questions as possible."""
    read = _read_postgres if wanted.engine == POSTGRES else _read_mysql
    found, database = read(access, wanted)
    users = own_users(_dialect(wanted, found), wanted, found)
    logins = [
        login
        for login in both_logins(access.application)
        if login.user in users and users[login.user].may_log_in
    ]
    if len(logins) > 1:
        found = replace(found, nodes=access.read_nodes())
        # Servers may count failed tries: first the one whose password is newer, or,
        # where they do not say and do not count, the one that fewer nodes use.
        using = found.nodes.using
        logins.sort(key=lambda lg: (-users[lg.user].changed, len(using(lg.user))))
    for login in logins:
        user = users[login.user]
        if user.keeps_password is False:
            continue  # a failed login may lock the account
        if found.namesakes:  # whose login would that be?
            user = replace(user, password_works=user.keeps_password is True)
        else:
            user = tried(access.server, login, database, user)
        found = replace(found, users={**found.users, login.user: user})
        if user.password_works:
            return found
    if users and len(logins) < 2:
        found = replace(found, nodes=access.read_nodes())
    return found


def _read_mysql(access: Access, wanted: WantedDatabase) -> tuple[FoundDatabase, str]:
    with master_session(access, "") as session:

        def rows(question: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in session.rows(question, READING)]

        names = rows(mysql_question.names_question(wanted))
        login = next(name for kind, name in names if kind == "login")
        answers = mysql_catalog.Answers(
            names=names,
            accounts=[
                mysql_catalog.Account(*row)
                for row in rows(mysql_question.accounts_question(wanted))
            ],
            rights=rows(mysql_question.rights_question(wanted)),
            finer_rights=rows(mysql_question.finer_rights_question(wanted)),
            roles=rows(mysql_question.roles_question(wanted)),
            sessions=[
                (user, place)
                for _, user, place, *_ in rows(mysql_question.SESSIONS_QUESTION)
            ],
            variables=dict(rows(mysql_question.SERVER_QUESTION)),
            judges=[name for (name,) in rows(mysql_question.JUDGES_QUESTION)],
            maker_rights=_maker_rights(wanted, login, rows) if wanted.files else None,
        )
        applied = None
        if wanted.files and ("record", "sql_files") in answers.names:
            applied = mysql_files.record(wanted).read(session)
    password = access.application.password.get_secret_value()
    return mysql_catalog.found_database(wanted, answers, applied, password), ""


def _maker_rights(
    wanted: WantedDatabase, login: str, rows: Callable[[str], list[tuple[Any, ...]]]
) -> list[str]:
    """What the master user may do; MariaDB's roles are not in force by themselves."""
    in_mysql = wanted.engine == MYSQL
    roles = rows(mysql_question.maker_roles_question(login)) if in_mysql else []
    question = mysql_question.maker_question(wanted, login, roles)
    return [right for (right,) in rows(question)]


def _read_postgres(access: Access, wanted: WantedDatabase) -> tuple[FoundDatabase, str]:
    try:
        answer, applied = _ask_postgres(access, wanted, wanted.database)
    except NoSuchDatabase:
        elsewhere = postgres_catalog.MAINTENANCE_DATABASE
        answer, applied = _ask_postgres(access, wanted, elsewhere)
    found = postgres_catalog.found_database(wanted, answer, applied)
    return found, answer["database"]


def _ask_postgres(
    access: Access, wanted: WantedDatabase, database: str
) -> tuple[Mapping[str, Any], Mapping[str, AppliedFile] | None]:
    with master_session(access, database) as session:
        version = session.rows(VERSION, READING)[0][0]
        answer = session.rows(question(wanted, version), READING)[0][0]
        if not (wanted.files and answer["record"]):
            return answer, None
        return answer, postgres_files.record(wanted).read(session)


def find_working_login(
    access: Access, wanted: WantedDatabase, likely: str | None
) -> Login:
    """The login that has the secret's password.

    ``likely`` is tried first. If nothing is likely, the one that nodes have with this
    password. MySQL and MariaDB may lock an account when a login fails, so there no
    other one is tried: the master user sees which it is. On PostgreSQL the one that
    fewer nodes use comes next. LoginRefused if neither has it.
    """
    logins = list(both_logins(access.application))
    nodes = NodeLogins() if likely else access.read_nodes()
    ready = likely or nodes.ready_login
    logins.sort(key=lambda lg: (lg.user != ready, len(nodes.using(lg.user))))
    tried = logins if wanted.engine == POSTGRES else logins[: ready is not None]
    for login in tried:
        if logs_in(access.server, login, wanted.database):
            return login
    if wanted.engine != POSTGRES:
        users = read_database(access, wanted).users
        for login in logins:
            if login.user in users and users[login.user].password_works:
                return login
    raise LoginRefused(
        f"{access.server}: the password in the application's secret logs in neither "
        f"{logins[0].user} nor {logins[1].user}",
        why="the secret was changed, or the database was never deployed",
        do="run deploys/site.py, which sets the password and then moves the nodes",
    )


def apply(
    access: Access, wanted: WantedDatabase, difference: Difference, file_seconds: float
) -> None:
    """Make one difference go away; ``file_seconds`` is what an SQL file may take."""
    on_postgres = wanted.engine == POSTGRES
    if difference.file is not None:
        database = wanted.database
        with master_session(access, database, file_seconds) as session:
            files = postgres_files if on_postgres else mysql_files
            files.apply_file(session, wanted, difference.file)
        return
    outside = postgres_catalog.MAINTENANCE_DATABASE if on_postgres else ""
    database = wanted.database if difference.inside and on_postgres else outside
    about = difference.description
    with master_session(access, database) as session:
        password = access.application.password.get_secret_value()
        hidden: dict[str, str] = {}
        if not on_postgres:
            hidden = {
                PASSWORD: _hashed_password(password, wanted.engine),
                PLAIN_PASSWORD: password,
                RANDOM_PASSWORD: _random_password(),
            }
        elif any(PASSWORD in statement for statement in difference.statements):
            hashed = stored_password(session, difference.user, password, about)
            hidden = {PASSWORD: hashed}
        whole = on_postgres and len(difference.statements) > 1
        steps = ("BEGIN", *difference.statements, "COMMIT")
        for statement in steps if whole else difference.statements:
            session.run(statement, about, hidden)


def lock_former(access: Access, wanted: WantedDatabase, now: Rotation) -> None:
    """Lock the login that ``now`` says nobody uses any more."""
    dialect = Postgres() if wanted.engine == POSTGRES else MySql(wanted.engine)
    for difference in lock_difference(dialect, now):
        apply(access, wanted, difference, STATEMENT_SECONDS)


def verify(access: Access, wanted: WantedDatabase) -> None:
    """PortwayError if anything differs but a login that was left this moment."""
    found = read_database(access, wanted)
    late = (*lock_difference(_dialect(wanted, found), find_rotation(wanted, found)),)
    left = [d for d in find_differences(wanted, found) if d not in late]
    if left:
        raise PortwayError(
            f"the database still differs: {'; '.join(map(str, left))}",
            do="run again; if it stays so, have the owner of these objects do it",
        )


def _hashed_password(password: str, engine: str) -> str:
    if engine == MARIADB:
        return mysql_native(password)
    letters = string.ascii_letters + string.digits
    return caching_sha2(password, "".join(secrets.choice(letters) for _ in range(20)))


def _random_password() -> str:
    """A password that meets whatever rules of length and kinds a server may have."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "!#+-_.=")
    characters = [secrets.choice(kind) for kind in kinds for _ in range(12)]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)
