"""Sessions with PostgreSQL."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pg8000.native

from portway.database.errors import DRIVER_ERRORS, connection_error, statement_error
from portway.database.postgres.names import literal
from portway.database.session import LOGIN_SECONDS, NOTHING, Hidden, Server
from portway.model.login import Login
from portway.ops.private_parts import set_answer_timeout_pg8000


class PostgresSession:
    """A session with PostgreSQL: a statement is a transaction unless it opens one."""

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
            # The server ends a statement in time; this is for a server that is gone.
            set_answer_timeout_pg8000(self._connection, seconds + LOGIN_SECONDS)
        except DRIVER_ERRORS as error:
            stream.close()
            authority = str(server.ca_file)
            raise connection_error(
                _refusal(error), self._where, login.user, authority
            ) from None

    def rows(self, statement: str, about: str) -> Sequence[Sequence[Any]]:
        try:
            return list(self._connection.run(statement) or ())
        except DRIVER_ERRORS as error:
            raise statement_error(error, self._where, self._user, about) from error

    def run(self, statement: str, about: str, hidden: Hidden = NOTHING) -> None:
        secret = any(placeholder in statement for placeholder in hidden)
        for placeholder, text in hidden.items():
            statement = statement.replace(placeholder, literal(text))
        try:
            self._connection.run(statement)
        except DRIVER_ERRORS as error:
            raise statement_error(
                error, self._where, self._user, about, secret=secret
            ) from (None if secret else error)

    def close(self) -> None:
        with suppress(*DRIVER_ERRORS):
            self._connection.close()


def _refusal(error: Exception) -> Exception:
    """What the server said, if closing the connection afterwards failed and hid it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, pg8000.native.DatabaseError):
            refusal: Exception = seen
            return refusal
        seen = seen.__context__
    return error
