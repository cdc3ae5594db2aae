"""Reads a database and changes what differs, over sessions with it.

It knows nothing of AWS, SSH or pyinfra. Nothing that it raises or returns contains a
password.
"""

import secrets
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from portway.database.connections import connect
from portway.database.differences import Dialect, differences
from portway.database.errors import LoginRefused, NoSuchDatabase, PermissionDenied
from portway.database.mysql import catalog as mysql_catalog
from portway.database.mysql import files as mysql_files
from portway.database.mysql.dialect import MySql
from portway.database.password_hashes import caching_sha2, mysql_native, scram_sha_256
from portway.database.postgres import catalog as postgres_catalog
from portway.database.postgres import files as postgres_files
from portway.database.postgres.dialect import Postgres
from portway.database.session import STATEMENT_SECONDS, Server, Session
from portway.database.state import (
    MARIADB,
    POSTGRES,
    AppliedFile,
    Difference,
    FoundDatabase,
    WantedDatabase,
)
from portway.errors import PortwayError
from portway.model.login import Login

ROTATION_ATTEMPTS = 6
ROTATION_PAUSE = 5.0
READING = "reading what is there"


@dataclass(frozen=True, slots=True)
class Access:
    """A server and the two users that Portway logs in as."""

    server: Server
    read_master: Callable[[], Login]
    """Reads the master user's secret again; RDS rotates it."""
    application: Login
    progress: Callable[[str], None]


def dialect_of(engine: str) -> Dialect:
    """The dialect of an engine."""
    return Postgres() if engine == POSTGRES else MySql(engine)


def find_differences(
    wanted: WantedDatabase, found: FoundDatabase
) -> tuple[Difference, ...]:
    """What differs, in the order in which to change it."""
    return differences(dialect_of(wanted.engine), wanted, found)


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
    if wanted.engine == POSTGRES:
        return _read_postgres(access, wanted)
    with master_session(access, "") as session:
        names, rights, roles = (
            [tuple(row) for row in session.rows(question(wanted), READING)]
            for question in (
                mysql_catalog.names_question,
                mysql_catalog.rights_question,
                mysql_catalog.roles_question,
            )
        )
        applied = None
        if wanted.files and ("record", "sql_files") in names:
            applied = mysql_files.record(wanted).read(session)
    works = bool(rights) and _password_works(access, "")
    return mysql_catalog.found_database(
        wanted,
        names,
        rights,
        [role for (role,) in roles],
        applied,
        password_works=works,
    )


def _read_postgres(access: Access, wanted: WantedDatabase) -> FoundDatabase:
    try:
        answer, applied = _ask_postgres(access, wanted, wanted.database)
    except NoSuchDatabase:
        elsewhere = postgres_catalog.MAINTENANCE_DATABASE
        answer, applied = _ask_postgres(access, wanted, elsewhere)
    works = answer["user"] is not None and _password_works(access, answer["database"])
    return postgres_catalog.found_database(
        wanted, answer, applied, password_works=works
    )


def _ask_postgres(
    access: Access, wanted: WantedDatabase, database: str
) -> tuple[Mapping[str, Any], Mapping[str, AppliedFile] | None]:
    with master_session(access, database) as session:
        answer = session.rows(postgres_catalog.question(wanted), READING)[0][0]
        if not (wanted.files and answer["record"]):
            return answer, None
        return answer, postgres_files.record(wanted).read(session)


def _password_works(access: Access, database: str) -> bool:
    """Whether the password in the application's secret logs it in."""
    try:
        connect(access.server, access.application, database).close()
    except LoginRefused:
        return False
    except PermissionDenied:
        return True  # the password was right; the database refused the user
    return True


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
    hashed = _hashed_password(access, wanted.engine)
    about = difference.description
    with master_session(access, database) as session:
        whole = on_postgres and len(difference.statements) > 1
        steps = ("BEGIN", *difference.statements, "COMMIT")
        for statement in steps if whole else difference.statements:
            session.run(statement, about, hashed)


def _hashed_password(access: Access, engine: str) -> str:
    password = access.application.password.get_secret_value()
    if engine == POSTGRES:
        return scram_sha_256(password, secrets.token_bytes(16))
    if engine == MARIADB:
        return mysql_native(password)
    letters = string.ascii_letters + string.digits
    return caching_sha2(password, "".join(secrets.choice(letters) for _ in range(20)))
