"""The database logins in Secrets Manager, checked before anything uses them."""

import re

from pydantic import SecretStr

from portway.aws.secrets import read_secret
from portway.errors import PortwayError
from portway.model.login import Login

USER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")


def read_login(region: str, secret: str) -> Login:
    """The user name and password in a secret."""
    fields = read_secret(region, secret)
    for key in ("username", "password"):
        if not fields.get(key):
            raise PortwayError(f'secret {secret}: it has no "{key}"; add it')
    return Login(fields["username"], SecretStr(fields["password"]))


def read_application_login(region: str, secret: str) -> Login:
    """The application's login, if every database and its config file can take it."""
    login = read_login(region, secret)
    if not USER.fullmatch(login.user):
        raise PortwayError(
            f'secret {secret}: "username" must be up to 32 letters, digits and '
            "underscores, the first not a digit"
        )
    password = login.password.get_secret_value()
    if not (password.isascii() and password.isprintable()):
        raise PortwayError(
            f'secret {secret}: "password" must be printable ASCII; rotate it'
        )
    if password != password.strip():
        raise PortwayError(
            f'secret {secret}: "password" begins or ends with a space, which the '
            "application's configuration file cannot hold",
            do="rotate it",
        )
    return login
