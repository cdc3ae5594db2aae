"""Opens sessions: the right kind for the engine, and again if nothing answers."""

from portway.database.errors import Busy, UsedUp
from portway.database.mysql.session import MySqlSession
from portway.database.postgres.session import PostgresSession
from portway.database.session import STATEMENT_SECONDS, Server, Session, tls_context
from portway.database.state import POSTGRES
from portway.model.login import Login
from portway.ops.tunnel import Unreachable

ATTEMPTS = 3
PAUSE_SECONDS = 2.0


def connect(
    server: Server, login: Login, database: str, seconds: float = STATEMENT_SECONDS
) -> Session:
    """Log in; ``seconds`` is what one statement may take.

    Tries again a few times if nothing answers. Raises LoginRefused, NoSuchDatabase,
    PermissionDenied, or PortwayError for everything else.
    """
    context = tls_context(server.ca_file)
    make = PostgresSession if server.engine == POSTGRES else MySqlSession
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return make(server, login, database, context, seconds)
        except (Unreachable, Busy) as error:
            if attempt == ATTEMPTS or isinstance(error, UsedUp):
                raise
            server.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")
