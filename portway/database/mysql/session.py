"""Sessions with MySQL and MariaDB."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from portway.database.errors import DRIVER_ERRORS, connection_error, statement_error
from portway.database.mysql.dialect import literal
from portway.database.session import LOGIN_SECONDS, NOTHING, Hidden, Server
from portway.model.login import Login
from portway.ops.private_parts import set_answer_timeout_pymysql


class MySqlSession:
    """A session with MySQL or MariaDB, where DDL statements commit at once."""

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
            set_answer_timeout_pymysql(self._connection, seconds)
        except DRIVER_ERRORS as error:
            stream.close()
            authority = str(server.ca_file)
            raise connection_error(error, self._where, login.user, authority) from None

    def rows(self, statement: str, about: str) -> Sequence[Sequence[Any]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        except DRIVER_ERRORS as error:
            raise statement_error(error, self._where, self._user, about) from error

    def run(self, statement: str, about: str, hidden: Hidden = NOTHING) -> None:
        secret = any(placeholder in statement for placeholder in hidden)
        for placeholder, text in hidden.items():
            statement = statement.replace(placeholder, literal(text))
        completed = 0
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
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
        with suppress(*DRIVER_ERRORS):
            self._connection.close()
