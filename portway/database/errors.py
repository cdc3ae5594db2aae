"""What database drivers raise, as PortwayErrors that say what to do.

No error quotes a statement that contains a password's hash.
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
LOCKED = ("3118", "3955", "4150", "4151")
"""Whatever the password: the account is locked, or blocked after wrong passwords."""
NO_DATABASE = ("3D000", "1049")
DENIED = ("42501", "1044", "1142", "1143", "1227", "1370", "1410")
BUSY = ("53300", "57P03", "1040")
"""The server takes no connection now, but may soon."""
USED_UP = ("1203", "1226")
"""The password is right, and the user has all the connections that it may have."""
AFTER_LOGIN = ("InitializeSessionUserId", "CheckMyDatabase")
"""PostgreSQL's routines that count connections when the password was right."""
UNFIT = "1819"
NAMES_ONLY = (UNFIT, "1290", "1396", "1836")
"""Of a statement with a secret in it, these quote names and no more."""
LOST = ("2003", "2006", "2013", "08006", "57P01", "57P02")
NO_TLS = "2026"


class LoginRefused(PortwayError):  # noqa: N818 - states, not errors of the program
    """The server does not take the password, or does not know the user."""


class LoginLocked(LoginRefused):
    """Nobody can log in as the user, whatever the password."""


class NoSuchDatabase(PortwayError):  # noqa: N818
    """There is no database of this name."""


class StatementFailed(PortwayError):  # noqa: N818
    """The server refused a statement."""

    position: int | None = None
    """Character of the statements that it is about, from 1, if the server says so."""
    completed = 0
    """How many statements before it were carried out."""


class PermissionDenied(StatementFailed):
    """The user may not do this."""


class Busy(PortwayError):  # noqa: N818
    """The server takes no connection just now."""


class UsedUp(Busy):
    """The password is right, and the user may have no more connections."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a server or driver reported."""

    code: str
    """SQLSTATE from PostgreSQL, a number from MySQL; empty if no server spoke."""
    text: str
    position: int | None = None
    """Character of the statement that it is about, from 1."""
    routine: str = ""
    """The part of PostgreSQL that reported it."""

    @property
    def is_used_up(self) -> bool:
        """Whether the password was right, and there are too many connections."""
        after = self.code == "53300" and self.routine in AFTER_LOGIN
        return self.code in USED_UP or after


def report_of(error: Exception) -> Report:
    """What a driver's error says, in one line."""
    said = error.args[0] if error.args else ""
    if isinstance(said, dict):  # PostgreSQL's own fields
        parts = [said.get("M", ""), said.get("D", ""), said.get("H", "")]
        text = "; ".join(part for part in parts if part)
        position = said.get("P")
        return Report(
            said.get("C", ""),
            _line(text),
            int(position) if position else None,
            said.get("R", ""),
        )
    if isinstance(error, pymysql.err.MySQLError) and len(error.args) > 1:
        return Report(str(said), _line(str(error.args[1])))
    cause = error.__cause__
    text = f"{error} ({cause})" if cause and str(cause) else str(error)
    return Report("", _line(text) or type(error).__name__)


def connection_error(  # noqa: PLR0911 - one answer for each thing that goes wrong
    error: Exception, where: str, user: str, authority: str
) -> PortwayError:
    """What to say when no session could be opened.

    ``where`` names the database and the node that it is reached through, and
    ``authority`` the file with the authorities that may have issued its certificate.
    """
    if certificate := _certificate_error(error):
        return PortwayError(
            f"{where}: its TLS certificate cannot be trusted ({certificate}), so no "
            f"password was sent; it must be for that address and from {authority}",
            do="check database_ca_file in group_data, for RDS the bundle of its region",
        )
    report = report_of(error)
    if report.code == NO_TLS or "refuses SSL" in report.text:
        return PortwayError(
            f"{where}: the server offers no TLS, so no password was sent",
            do="turn TLS on in its parameter group",
        )
    if report.code in WRONG_LOGIN:
        return LoginRefused(f"{where}: {user} cannot log in ({report.text})")
    if report.code in LOCKED:
        return LoginLocked(f"{where}: {user} cannot log in ({report.text})")
    if report.code in NO_DATABASE:
        return NoSuchDatabase(f"{where}: {report.text}")
    if report.code in DENIED:
        return PermissionDenied(f"{where}: {user} may not connect ({report.text})")
    if report.code in BUSY or report.is_used_up:
        kind = UsedUp if report.is_used_up else Busy
        return kind(
            f"{where}: it takes no connection at the moment ({report.text})",
            do="check how many connections it has, and run again",
        )
    if not report.code or report.code in LOST:
        return Busy(
            f"{where}: the connection broke ({report.text})",
            do="run again; if it goes on, look at the database's events in RDS",
        )
    return PortwayError(
        f"{where}: {user} cannot connect ({report.code}: {report.text})",
        do="look the code up in the engine's manual, and at the database's log in RDS",
    )


def statement_error(
    error: Exception, where: str, user: str, about: str, *, secret: bool = False
) -> StatementFailed:
    """What to say when a statement failed.

    ``about`` says what it was for. Servers may quote the statement in their report, so
    of a ``secret`` one only the code is shown.
    """
    report = report_of(error)
    secret = secret and report.code not in NAMES_ONLY
    reason = f"error {report.code}" if secret and report.code else report.text
    what = f"{where}: {about}"
    failed: StatementFailed
    if report.code in DENIED or report.code in WRONG_LOGIN:  # MySQL says both of both
        failed = PermissionDenied(
            f"{what}: {user} lacks the permission ({reason})",
            do="have the object's owner do it",
        )
    elif report.code == UNFIT:
        failed = StatementFailed(
            f"{what}: the server refuses the password in the application's secret",
            why="a plugin of the server judges passwords, and this one fails its rules",
            do="put a password that satisfies them into the secret, and run again",
        )
    elif not report.code or report.code in LOST:
        failed = StatementFailed(
            f"{what}: the connection broke ({reason})",
            do="look at the database's events in RDS",
        )
    else:
        code = "" if secret else f"{report.code}: "
        failed = StatementFailed(f"{what}: refused ({code}{reason})")
    failed.position = report.position
    return failed


def _certificate_error(error: Exception) -> str | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        if isinstance(seen, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return None  # the connection broke before anything was verified
        if isinstance(seen, ssl.SSLError):
            return str(getattr(seen, "reason", None) or seen)
        original = getattr(seen, "original_exception", None)
        seen = original or seen.__cause__
    return None


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
