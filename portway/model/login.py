"""Who logs in to the database."""

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Login:
    """A user and its password."""

    user: str
    password: SecretStr
