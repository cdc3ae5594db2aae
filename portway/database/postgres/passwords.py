"""What PostgreSQL is given in place of the application's password."""

import secrets

from portway.database.password_hashes import postgres_md5, scram_sha_256
from portway.database.session import Session

MD5 = "md5"


def password_form(setting: str) -> str:
    """What the server's ``password_encryption`` asks for; empty for SCRAM.

    Whoever chose md5 has clients that know nothing else.
    """
    return "" if setting == "scram-sha-256" else MD5


def stored_password(session: Session, user: str, password: str, about: str) -> str:
    """What the server would store of a user's password by its own settings."""
    ((setting,),) = session.rows("SHOW password_encryption", about)
    if password_form(setting) == MD5:
        return postgres_md5(password, user)
    return scram_sha_256(password, secrets.token_bytes(16))
