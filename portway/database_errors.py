"""What database drivers raise, told as PortwayErrors that say what to do.

It translates and connects to nothing. What it tells never holds a statement that
carries a password's hash.
"""

import ssl
from dataclasses import dataclass

import pg8000.exceptions
import pymysql.err
import scramp

from portway.errors import PortwayError

DRIVER_ERRORS = (
    pg8000.exceptions.Error,
    pymysql.err.MySQLError,
    scramp.ScramException,
    OSError,
)
WRONG_LOGIN = ("28P01", "28000", "1045", "1698", "1820", "1862")
NO_DATABASE = ("3D000", "1049")
DENIED = ("42501", "1044", "1142", "1143", "1227", "1370", "1410")
BUSY = ("53300", "57P03", "1040", "1203")
"""It takes no connection now, and may soon."""
LOST = ("2003", "2006", "2013", "08006", "57P01", "57P02")
NO_TLS = "2026"


class LoginRefused(PortwayError):  # noqa: N818 - states, not errors of the program
    """The server does not take the password, or does not know the user."""


class NoSuchDatabase(PortwayError):  # noqa: N818
    """There is no database of this name."""


class StatementFailed(PortwayError):  # noqa: N818
    """The server refused a statement."""

    position: int | None = None
    """Character of the statements that it is about, from 1, if the server tells."""
    completed = 0
    """How many statements before it were carried out."""


class PermissionDenied(StatementFailed):
    """The user may not do this."""


class Busy(PortwayError):  # noqa: N818
    """The server takes no connection just now."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a server or driver said."""

    code: str
    """SQLSTATE from PostgreSQL, a number from MySQL; empty if no server spoke."""
    text: str
    position: int | None = None
    """Character of the statement that it is about, from 1."""


def told(error: Exception) -> Told:
    """What an error of a driver says, in one line."""
    said = error.args[0] if error.args else ""
    if isinstance(said, dict):  # PostgreSQL's own fields
        parts = [said.get("M", ""), said.get("D", ""), said.get("H", "")]
        text = "; ".join(part for part in parts if part)
        position = said.get("P")
        return Told(said.get("C", ""), _line(text), int(position) if position else None)
    if isinstance(error, pymysql.err.MySQLError) and len(error.args) > 1:
        return Told(str(said), _line(str(error.args[1])))
    cause = error.__cause__
    text = f"{error} ({cause})" if cause and str(cause) else str(error)
    return Told("", _line(text) or type(error).__name__)


def connection_error(  # noqa: PLR0911 - one answer for each thing that goes wrong
    error: Exception, where: str, user: str, authority: str
) -> PortwayError:
    """What to say when no session came about.

    ``where`` names the database and the node that it is reached through, and
    ``authority`` the file of the authority that its certificate must be from.
    """
    if certificate := _certificate_error(error):
        return PortwayError(
            f"{where}: its TLS certificate cannot be trusted ({certificate}), so no "
            f"password was sent; it must be for that address and from {authority}; "
            "check database_ca_file in group_data, for RDS the bundle of its region"
        )
    said = told(error)
    if said.code == NO_TLS or "refuses SSL" in said.text:
        return PortwayError(
            f"{where}: the server offers no TLS, so no password was sent; turn TLS on"
        )
    if said.code in WRONG_LOGIN:
        return LoginRefused(f"{where}: {user} cannot log in ({said.text})")
    if said.code in NO_DATABASE:
        return NoSuchDatabase(f"{where}: {said.text}")
    if said.code in DENIED:
        return PermissionDenied(f"{where}: {user} may not connect ({said.text})")
    if said.code in BUSY:
        return Busy(
            f"{where}: it takes no connection just now ({said.text}); run again when "
            "it has settled, and see how many connections it has"
        )
    if not said.code or said.code in LOST:
        return Busy(
            f"{where}: the connection broke off ({said.text}); run again, and see the "
            "events of the database in RDS if it goes on"
        )
    return PortwayError(f"{where}: {user} cannot connect ({said.code}: {said.text})")


def statement_error(
    error: Exception, where: str, user: str, about: str, *, secret: bool = False
) -> StatementFailed:
    """What to say when a statement failed.

    ``about`` says what it was for. Servers may quote the statement in what they say,
    so of a ``secret`` one only the code is told.
    """
    said = told(error)
    reason = f"error {said.code}" if secret and said.code else said.text
    what = f"{where}: {about}"
    failed: StatementFailed
    if said.code in DENIED or said.code in WRONG_LOGIN:  # MySQL says both of both
        failed = PermissionDenied(
            f"{what}: {user} lacks the permission ({reason}); it must be the master "
            "user that RDS made, or the owner of what this is about must do it"
        )
    elif not said.code or said.code in LOST:
        failed = StatementFailed(
            f"{what}: the connection broke off ({reason}); run again"
        )
    else:
        code = "" if secret else f"{said.code}: "
        failed = StatementFailed(f"{what}: refused ({code}{reason})")
    failed.position = said.position
    return failed


def _certificate_error(error: Exception) -> str | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        if isinstance(seen, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return None  # it broke off before anything was verified
        if isinstance(seen, ssl.SSLError):
            return str(getattr(seen, "reason", None) or seen)
        original = getattr(seen, "original_exception", None)
        seen = original or seen.__cause__
    return None


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
