"""Stores messages, each committed before the call returns.

One connection for each thread that calls, made when it is needed and dropped when it
fails, so that a database that comes back is used again without a restart. A test may
ask for a new one each time.
"""

import ssl
import threading
from collections.abc import Callable
from typing import Any, Protocol

import pg8000.native
import pymysql

from .config import Database, Faults

TIMEOUT = 5
"""Seconds that one statement may take; a check waits no longer than its caller."""

Row = dict[str, Any]


class DatabaseUnavailableError(Exception):
    """The message is not stored, or not known to be; the sender must send it again."""


class RefusedMessageError(Exception):
    """Another message is stored under the same control id."""


class Connection(Protocol):
    """One connection of either engine."""

    def store(self, row: Row) -> bool:
        """Insert and commit; whether the same message is stored now."""

    def check(self) -> None:
        """Raise unless the table can be read."""

    def close(self) -> None:
        """Close the connection."""


class PostgresConnection:
    """PostgreSQL; every statement outside a transaction is its own."""

    def __init__(self, database: Database) -> None:
        self._connection = pg8000.native.Connection(
            user=database.user,
            host=database.host,
            port=database.port,
            database=database.name,
            password=database.password,
            ssl_context=_tls(database),
            timeout=TIMEOUT,
            application_name="message-app",
        )
        schema = pg8000.native.identifier(database.schema)
        self._connection.run(f"SET search_path TO {schema}")

    def store(self, row: Row) -> bool:
        """Insert and commit; whether the same message is stored now."""
        stored = self._connection.run(
            "INSERT INTO messages (client, control_id, node, version, body) "
            "VALUES (:client, :control_id, :node, :version, :body) "
            "ON CONFLICT (client, control_id) DO NOTHING RETURNING 1",
            **row,
        )
        if stored:
            return True
        found = self._connection.run(
            "SELECT body = :body FROM messages "
            "WHERE client = :client AND control_id = :control_id",
            **row,
        )
        return bool(found and found[0][0])

    def check(self) -> None:
        """Raise unless the table can be read."""
        self._connection.run("SELECT 1 FROM messages LIMIT 1")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class MysqlConnection:
    """MySQL or MariaDB, where a schema is a database."""

    def __init__(self, database: Database) -> None:
        self._connection = pymysql.connect(
            user=database.user,
            host=database.host,
            port=database.port,
            database=database.schema,
            password=database.password,
            ssl=_tls(database),
            connect_timeout=TIMEOUT,
            read_timeout=TIMEOUT,
            write_timeout=TIMEOUT,
            autocommit=True,
        )

    def store(self, row: Row) -> bool:
        """Insert and commit; whether the same message is stored now."""
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(
                    "INSERT INTO messages (client, control_id, node, version, body) "
                    "VALUES (%(client)s, %(control_id)s, %(node)s, %(version)s, "
                    "%(body)s)",
                    row,
                )
            except pymysql.err.IntegrityError:
                cursor.execute(
                    "SELECT body = %(body)s FROM messages "
                    "WHERE client = %(client)s AND control_id = %(control_id)s",
                    row,
                )
                found = cursor.fetchone()
                return bool(found and found[0])
            return True

    def check(self) -> None:
        """Raise unless the table can be read."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM messages LIMIT 1")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


ENGINES: dict[str, Callable[[Database], Connection]] = {
    "postgres": PostgresConnection,
    "mysql": MysqlConnection,
    "mariadb": MysqlConnection,
}


class Store:
    """The database as the rest of the program sees it; safe to call from threads."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self._database = database
        self._faults = faults
        self._local = threading.local()

    def put(self, row: Row) -> None:
        """Store a message, committed when this returns.

        Sending again what was stored already succeeds. Raises RefusedMessageError if
        another message has the control id, DatabaseUnavailableError if it failed.
        """
        if not self._with_connection(lambda connection: connection.store(row)):
            raise RefusedMessageError("another message has this control id")

    def check(self) -> None:
        """Raise DatabaseUnavailableError unless the database works."""
        self._with_connection(lambda connection: connection.check())

    def _with_connection(self, use: Callable[[Connection], bool | None]) -> bool | None:
        """Use this thread's connection; a new one if one from before has broken."""
        may_be_stale = getattr(self._local, "connection", None) is not None
        while True:
            try:
                result = use(self._open())
                if self._faults.get("reconnect"):
                    self._drop()
                return result
            except Exception as error:
                self._drop()
                if not may_be_stale:
                    raise DatabaseUnavailableError(type(error).__name__) from error
                may_be_stale = False

    def _open(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = ENGINES[self._database.engine](self._database)
            self._local.connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._local.connection = (
            getattr(self._local, "connection", None),
            None,
        )
        try:
            if connection is not None:
                connection.close()
        except Exception:  # noqa: S110 - it is broken already
            pass


def _tls(database: Database) -> ssl.SSLContext | None:
    if not database.ca:
        return None
    context = ssl.create_default_context(cafile=database.ca)
    # RDS's authorities lack an extension that newer Pythons insist on.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context
