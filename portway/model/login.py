"""Who logs in to the database."""

from dataclasses import dataclass, replace

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Login:
    """A user and its password."""

    user: str
    password: SecretStr
    is_second: bool = False
    """Whether it is the application's second login, which its secret does not name."""


SECOND = "_portway"
"""How the second login's name ends: as nobody calls a user by accident."""


def second_user(user: str) -> str:
    """The user that alternates with the one that the application's secret names."""
    return f"{user}{SECOND}"


def both_logins(login: Login) -> tuple[Login, Login]:
    """The two logins that may have the password of the application's secret."""
    return login, replace(login, user=second_user(login.user), is_second=True)
