"""Whether a password logs a user in, found by logging in."""

from dataclasses import replace

from portway.database.connections import connect
from portway.database.errors import (
    LoginLocked,
    LoginRefused,
    NoSuchDatabase,
    PermissionDenied,
    UsedUp,
)
from portway.database.session import Server
from portway.database.state import FoundUser
from portway.errors import PortwayError
from portway.model.login import Login


def tried(server: Server, login: Login, database: str, user: FoundUser) -> FoundUser:
    """The user as a login with its password shows it."""
    try:
        works = _password_works(server, login, database)
    except LoginLocked:
        return replace(user, may_log_in=False)
    if user.keeps_password and not works:
        raise PortwayError(
            f"{server}: {login.user} cannot log in with its password",
            why="its account demands more, such as a client's certificate",
            do=f"compare what SHOW CREATE USER '{login.user}'@'%' prints with that of "
            "a user that can",
        )
    return replace(user, password_works=works)


def logs_in(server: Server, login: Login, database: str) -> bool:
    """Whether a password logs a user in that nobody has locked."""
    try:
        return _password_works(server, login, database)
    except LoginLocked:
        return False


def _password_works(server: Server, login: Login, database: str) -> bool:
    """Whether a password logs a user in; LoginLocked if none would."""
    try:
        connect(server, login, database).close()
    except LoginLocked:
        raise
    except LoginRefused:
        return False
    except (PermissionDenied, NoSuchDatabase, UsedUp):
        return True  # the password was right; that was not the reason
    return True
