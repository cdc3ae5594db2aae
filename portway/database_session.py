"""Sessions with a database server: TLS verified, bounded in time, plainly told errors.

The security contract: no password is sent before the server's certificate was
verified; passwords are held in values that print as asterisks, and statements that
carry a password's hash are never shown.
"""

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, Protocol

import pg8000.native
import pymysql
from pydantic import SecretStr
from pymysql.constants import CLIENT

from portway.database import PASSWORD, POSTGRES
from portway.database_errors import (
    DRIVER_ERRORS,
    Busy,
    connection_error,
    statement_error,
)
from portway.errors import PortwayError
from portway.tunnel import Unreachable

STATEMENT_SECONDS = 30
LOGIN_SECONDS = 15
"""What each answer of a server may take until the user is logged in."""
ATTEMPTS = 3
PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Login:
    """A user and its password."""

    user: str
    password: SecretStr


@dataclass(frozen=True, slots=True)
class Server:
    """Where a database server is and how it is reached."""

    engine: str
    address: str
    """Its certificate must be for this name."""
    port: int
    ca_file: Path
    """The authorities that its certificate may be from."""
    via: str
    """The node through which it is reached."""
    open_stream: Callable[[], socket]
    """A new connection to it; raises PortwayError."""
    sleep: Callable[[float], None] = time.sleep

    def __str__(self) -> str:
        return f"database {self.address}:{self.port}, reached through {self.via}"


class Session(Protocol):
    """A user's connection to one database."""

    def rows(self, statement: str, about: str) -> Sequence[Sequence[Any]]:
        """The rows that a statement answers with; ``about`` says what it is for."""

    def run(self, statement: str, about: str, hashed: str = "") -> None:
        """Run statements, with the hash of a password where they ask for one."""

    def close(self) -> None:
        """End it; what was not committed is undone."""


def connect(
    server: Server, login: Login, database: str, seconds: float = STATEMENT_SECONDS
) -> Session:
    """Log in; ``seconds`` is what one statement may take.

    Tries again a few times if nothing answers. Raises LoginRefused, NoSuchDatabase,
    PermissionDenied, or PortwayError for everything else.
    """
    context = _tls(server.ca_file)
    make = PostgresSession if server.engine == POSTGRES else MySqlSession
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return make(server, login, database, context, seconds)
        except (Unreachable, Busy):
            if attempt == ATTEMPTS:
                raise
            server.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _tls(ca_file: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it has no certificates in PEM form"
        raise PortwayError(
            f"group_data: database_ca_file: {ca_file} cannot be read ({reason}); name "
            "the file with the certificates of the database's authority; for RDS it "
            "is global-bundle.pem, which its documentation on TLS links to"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RDS's authorities lack an extension that newer Pythons insist on.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def _refusal(error: Exception) -> Exception:
    """What the server said, where hanging up afterwards failed as well and hid it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, pg8000.native.DatabaseError):
            refusal: Exception = seen
            return refusal
        seen = seen.__context__
    return error


class PostgresSession:
    """A session with PostgreSQL. Every statement is its own transaction or says so."""

    def __init__(
        self,
        server: Server,
        login: Login,
        database: str,
        context: ssl.SSLContext,
        seconds: float,
    ) -> None:
        self._where, self._user = str(server), login.user
        stream = server.open_stream()
        stream.settimeout(LOGIN_SECONDS)
        try:
            self._connection = pg8000.native.Connection(
                login.user,
                host=server.address,
                database=database,
                password=login.password.get_secret_value(),
                ssl_context=context,
                sock=stream,
                application_name="portway",
                startup_params={"statement_timeout": str(int(seconds * 1000))},
            )
            # The server ends a statement in time; this is for when it is not heard of.
            self._connection._usock.settimeout(seconds + LOGIN_SECONDS)
        except DRIVER_ERRORS as error:
            stream.close()
            authority = str(server.ca_file)
            raise connection_error(
                _refusal(error), self._where, login.user, authority
            ) from None

    def rows(self, statement: str, about: str) -> Sequence[Sequence[Any]]:
        """The rows that a statement answers with; ``about`` says what it is for."""
        try:
            return list(self._connection.run(statement) or ())
        except DRIVER_ERRORS as error:
            raise statement_error(error, self._where, self._user, about) from error

    def run(self, statement: str, about: str, hashed: str = "") -> None:
        """Run statements, with the hash of a password where they ask for one."""
        secret = PASSWORD in statement
        try:
            self._connection.run(statement.replace(PASSWORD, f"'{hashed}'"))
        except DRIVER_ERRORS as error:
            raise statement_error(
                error, self._where, self._user, about, secret=secret
            ) from (None if secret else error)

    def close(self) -> None:
        """End it; what was not committed is undone."""
        with suppress(*DRIVER_ERRORS):
            self._connection.close()


class MySqlSession:
    """A session with MySQL or MariaDB. What alters a table commits at once there."""

    def __init__(
        self,
        server: Server,
        login: Login,
        database: str,
        context: ssl.SSLContext,
        seconds: float,
    ) -> None:
        self._where, self._user = str(server), login.user
        self._connection: pymysql.Connection[Any] = pymysql.Connection(
            user=login.user,
            password=login.password.get_secret_value(),
            host=server.address,
            database=database or None,
            ssl=context,
            read_timeout=LOGIN_SECONDS,
            write_timeout=LOGIN_SECONDS,
            client_flag=CLIENT.MULTI_STATEMENTS,
            autocommit=True,
            charset="utf8mb4",
            program_name="portway",
            defer_connect=True,
        )
        stream = server.open_stream()
        try:
            self._connection.connect(stream)
            self._connection._read_timeout = seconds  # type: ignore[attr-defined]
        except DRIVER_ERRORS as error:
            stream.close()
            authority = str(server.ca_file)
            raise connection_error(error, self._where, login.user, authority) from None

    def rows(self, statement: str, about: str) -> Sequence[Sequence[Any]]:
        """The rows that a statement answers with; ``about`` says what it is for."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        except DRIVER_ERRORS as error:
            raise statement_error(error, self._where, self._user, about) from error

    def run(self, statement: str, about: str, hashed: str = "") -> None:
        """Run statements, with the hash of a password where they ask for one."""
        secret = PASSWORD in statement
        completed = 0
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement.replace(PASSWORD, f"'{hashed}'"))
                completed = 1
                while cursor.nextset():
                    completed += 1
        except DRIVER_ERRORS as error:
            failed = statement_error(
                error, self._where, self._user, about, secret=secret
            )
            failed.completed = completed
            raise failed from (None if secret else error)

    def close(self) -> None:
        """End it; what was not committed is undone."""
        with suppress(*DRIVER_ERRORS):
            self._connection.close()
